"""Evaluation and prediction: one forward step for tests of a run, test-time augmentation and image files."""
