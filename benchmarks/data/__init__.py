"""Images: where they come from, how they are stored, split into sessions, augmented and cut into batches."""
