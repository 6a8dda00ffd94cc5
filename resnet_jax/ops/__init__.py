"""Array functions of any spatial rank, [N, L, C] to [N, D, H, W, C]: the arithmetic of the layers, without modules."""

from __future__ import annotations

from resnet_jax.ops.activations import gelu, quick_gelu, relu, relu6, silu
from resnet_jax.ops.conv import conv, conv_channels, conv_per_example
from resnet_jax.ops.dense import dense
from resnet_jax.ops.k_max import k_max_pool
from resnet_jax.ops.labels import at_least_int32, one_hot
from resnet_jax.ops.lowering import lowering_for, plain_lowering
from resnet_jax.ops.norm import batch_norm, group_norm, l2_normalize, normalize
from resnet_jax.ops.pooling import adaptive_avg_pool, avg_pool, blur_pool, global_pool, max_pool
from resnet_jax.ops.random import drop_path, dropout, sample_per_example
from resnet_jax.ops.sharding import gather_like, is_sharded, shard_like, split_batch, swap_neighbours, unshard
from resnet_jax.ops.tally import add_macs, tally_macs
from resnet_jax.ops.windows import LAYOUTS, check_layout, has_known_size, over_space, spatial_axes, subsample

__all__ = [
    "LAYOUTS",
    "adaptive_avg_pool",
    "add_macs",
    "at_least_int32",
    "avg_pool",
    "batch_norm",
    "blur_pool",
    "check_layout",
    "conv",
    "conv_channels",
    "conv_per_example",
    "dense",
    "drop_path",
    "dropout",
    "gather_like",
    "gelu",
    "global_pool",
    "group_norm",
    "has_known_size",
    "is_sharded",
    "k_max_pool",
    "l2_normalize",
    "lowering_for",
    "max_pool",
    "normalize",
    "one_hot",
    "over_space",
    "plain_lowering",
    "quick_gelu",
    "relu",
    "relu6",
    "sample_per_example",
    "shard_like",
    "silu",
    "spatial_axes",
    "split_batch",
    "subsample",
    "swap_neighbours",
    "tally_macs",
    "unshard",
]
