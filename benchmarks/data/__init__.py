"""Images: their sources, their cache, the split into sessions, augmentation and batches."""
