"""All missing runs of a command: what is missing, who does it, and what is said meanwhile."""
