"""Array functions the layers stand on. They know nothing of models."""

from resnet_jax.ops.conv import conv2d
from resnet_jax.ops.dense import dense
from resnet_jax.ops.norm import batch_norm, normalize
from resnet_jax.ops.pooling import global_pool, max_pool
from resnet_jax.ops.random import draw_per_example, drop_path, dropout
from resnet_jax.ops.tally import tally_macs

__all__ = [
    "batch_norm",
    "conv2d",
    "dense",
    "draw_per_example",
    "drop_path",
    "dropout",
    "global_pool",
    "max_pool",
    "normalize",
    "tally_macs",
]
