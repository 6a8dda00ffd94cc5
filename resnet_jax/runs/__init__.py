"""Runs: a checked plan from a Config, the run directory, training, resuming, evaluation and records."""
