"""Transforms of training examples."""
