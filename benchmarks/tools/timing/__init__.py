"""What the suite's speed is, measured against bare torch and stock Avalanche: `python -m benchmarks.tools.timing`."""
