"""Other people's checkpoints: readers, name tables, preprocessing; and back again."""

from resnet_jax.weights.pretrained import classes_of, load_pretrained
from resnet_jax.weights.writers import convert_weights, save_torch_state

__all__ = ["classes_of", "convert_weights", "load_pretrained", "save_torch_state"]
