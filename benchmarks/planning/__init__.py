"""Turns a command line or a study into a list of runs, and checks them before training."""
