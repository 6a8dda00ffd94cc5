"""Where examples come from, how they are augmented, and in what order they are served."""

from resnet_jax.data.augment import make_augment
from resnet_jax.data.sources import InMemory, Source

__all__ = ["InMemory", "Source", "load", "make_augment"]


def load(name: str, split: str, *, data_dir: str | None = None) -> InMemory:
    """A split of a TFDS dataset, in memory. See `tfds.load`, which this imports only when called."""
    from resnet_jax.data import tfds

    return tfds.load(name, split, data_dir=data_dir)
