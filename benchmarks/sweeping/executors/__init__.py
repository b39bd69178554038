"""Does the missing runs of a command on a cluster: its elements are groups of seeds, and the results folder is all that nodes share.

A launcher writes what each element holds into `results/.cluster/<digits>/plan.json` and hands the elements to a scheduler (Slurm, Ray).
An element does its runs as a local sweep does, and tells how they go in a file beside the plan. What is done is said by records alone.
"""
