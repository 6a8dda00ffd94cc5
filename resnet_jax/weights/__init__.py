"""Other people's checkpoints: readers, name tables, preprocessing."""

from resnet_jax.weights.pretrained import load_pretrained

__all__ = ["load_pretrained"]
