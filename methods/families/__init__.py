"""Base classes that several methods derive from."""
