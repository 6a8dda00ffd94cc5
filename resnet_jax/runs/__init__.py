"""Runs: a checked plan from a Config, the run directory, training, resuming, evaluation and records.

Below this room nothing takes a `Config`. Inside it, the plan, the trainer and the loop read the config of the run.
"""
