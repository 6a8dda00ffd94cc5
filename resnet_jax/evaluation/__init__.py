"""Evaluation and prediction: one forward step for tests of a run, test-time augmentation and image files."""

from resnet_jax.moved import moved_names

__getattr__ = moved_names(__name__)
