"""Metrics, below the tasks: typed sums and means, and metrics as functions of arrays."""
