"""What a run has found: its identity, its record, and where records stand."""
