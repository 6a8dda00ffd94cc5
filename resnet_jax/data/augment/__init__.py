"""Transforms of training examples."""

from resnet_jax.moved import moved_names

__getattr__ = moved_names(__name__)
