"""Evaluates, replays and recalibrates saved runs."""
