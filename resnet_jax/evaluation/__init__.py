"""Every example of a source once: metrics, views, predictions."""

from resnet_jax.moved import moved_names

__getattr__ = moved_names(__name__)
