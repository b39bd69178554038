"""Measures the suite's speed against plain torch and stock Avalanche: `python -m benchmarks.tools.timing`."""
