"""Numbers from counts: accuracies, their means, intervals and tests."""
