"""Other people's checkpoints: readers, name tables, preprocessing; and back again."""

from resnet_jax.weights.pretrained import load_pretrained
from resnet_jax.weights.saved import save_torch_state

__all__ = ["load_pretrained", "save_torch_state"]
