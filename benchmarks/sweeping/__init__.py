"""Does all missing runs of a command in worker processes, and reports progress."""
