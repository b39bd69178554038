"""The base session: trained once a seed, stored, and shared by all methods; with the features of its images."""
