"""Results of runs: a run's identity, its record, and where records are stored."""
