"""What is done with a saved run: evaluation, replay, recalibration."""
