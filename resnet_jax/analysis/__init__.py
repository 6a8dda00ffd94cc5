"""What can be said about a net without training it."""

from resnet_jax.analysis.summary import Summary, summary

__all__ = ["Summary", "summary"]
