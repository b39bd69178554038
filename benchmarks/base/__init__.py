"""The base session: its model is trained once per seed, stored, and shared by all methods, with the features of its images."""
