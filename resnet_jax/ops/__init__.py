"""Array functions the layers stand on. They know nothing of models."""

from resnet_jax.ops.activations import relu, relu6, silu
from resnet_jax.ops.conv import conv2d, conv2d_per_example, has_known_size, subsample
from resnet_jax.ops.dense import dense
from resnet_jax.ops.labels import at_least_int32, one_hot
from resnet_jax.ops.norm import batch_norm, group_norm, normalize
from resnet_jax.ops.pooling import avg_pool, blur_pool, global_pool, max_pool
from resnet_jax.ops.random import draw_per_example, drop_path, dropout
from resnet_jax.ops.sharding import gathered, is_sharded, sharded_with, split_batch, swap_neighbours
from resnet_jax.ops.tally import add_macs, tally_macs

__all__ = [
    "add_macs",
    "at_least_int32",
    "avg_pool",
    "batch_norm",
    "blur_pool",
    "conv2d",
    "conv2d_per_example",
    "dense",
    "draw_per_example",
    "drop_path",
    "dropout",
    "gathered",
    "global_pool",
    "group_norm",
    "has_known_size",
    "is_sharded",
    "max_pool",
    "normalize",
    "one_hot",
    "relu",
    "relu6",
    "silu",
    "sharded_with",
    "split_batch",
    "subsample",
    "swap_neighbours",
    "tally_macs",
]
