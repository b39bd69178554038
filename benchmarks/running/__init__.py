"""Executes one run: trains and tests a method session by session, with probes and audits."""
