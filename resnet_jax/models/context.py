"""Block context: layer factories and per-call choices, bound by the net and passed to every component of a block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

import flax.linen as nn
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.deprecated import OLD_CONV_OPTIONS, OldContextNames, new_conv_options
from resnet_jax.models.initializers import Initializer, kaiming_normal
from resnet_jax.models.layers import BatchNorm, Conv, Dense
from resnet_jax.models.partials import Partial, comparable
from resnet_jax.models.sequence.lengths import LengthMasks, masked_avg_pool, masked_max, masked_max_pool, masked_mean
from resnet_jax.types import Array, Dtype

Activation = Callable[[Array], Array]
LayerDropout = Callable[[Array, int], Array]
MASKED_POOLS: dict[Any, Any] = {ops.avg_pool: masked_avg_pool, ops.max_pool: masked_max_pool}


class ConvFactory(Protocol):
    """A convolution: `Conv`, a subclass or a partial of one."""

    def __call__(
        self,
        features: int,
        kernel_size: int,
        *,
        strides: int,
        dilation: int,
        groups: int = 1,
        kernel_init: Initializer = kaiming_normal,
        dtype: Dtype,
        param_dtype: Dtype,
        name: str,
    ) -> nn.Module: ...


class NormFactory(Protocol):
    """A norm: a module called (x, use_batch_statistics=) -> array of the shape of x.

    In the heads of R-CNN it is called with `weights` [N], too: regions of weight 0 are padding. So are positions of
    weight 0 in series of unequal lengths, `weights` [N, L].
    """

    def __call__(
        self, *, scale_init: Initializer = nn.initializers.ones, dtype: Dtype, param_dtype: Dtype, name: str
    ) -> nn.Module: ...


class Pool(Protocol):
    """A pool of `resnet_jax.ops`, or a partial of one."""

    def __call__(self, x: Array, /, *args: Any, **options: Any) -> Array: ...  # strides, dilation and others


@dataclass(frozen=True)
class BlockContext(OldContextNames):
    """Layer factories and per-call choices of a block. `BlockContext()` serves a block in a module of your own.

    `dilation` and `take_strides` implement a smaller output stride (à trous, Chen et al. 2017, DeepLab): a convolution
    whose strides are not taken samples the pixels that it sampled before, and every later one is dilated instead.
    TensorFlow's padding depends on the strides, so there the sampled pixels move. `dilation_rule` decides about pools:
    see `pool`.

    With `masks`, examples have unequal lengths along the first spatial axis: convolutions see zeros behind a length,
    pools and the statistics of norms ignore what is there.
    """

    make_conv: ConvFactory = Conv
    make_norm: NormFactory = BatchNorm
    act: Activation = ops.relu
    use_batch_statistics: bool = False
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32
    drop_path: Activation | None = None  # stochastic depth on F(x), with this block's rate and key; None: not in use
    dropout: Activation = lambda x: x  # before the classifier
    layer_dropout: LayerDropout = lambda x, layer: x  # before or behind a layer of the block, which has its number
    zero_init: bool = True  # zero initialisation of a branch's last norm scale, or of its last convolution's kernel
    dilation: int = 1
    take_strides: bool = True
    dilation_rule: str = "timm"
    masks: LengthMasks | None = None  # None: every example has all positions

    def __post_init__(self) -> None:
        object.__setattr__(self, "make_conv", comparable(self.make_conv))  # bound arguments read as attributes

    def effective_strides(self, strides: int) -> int:
        """The strides that a block takes where its stage asks for `strides`."""
        return strides if self.take_strides else 1

    def effective_dilation(self, strides: int) -> int:
        """The dilation of a window that takes `strides`: it samples the pixels of the net without output stride.

        By the rule "smp", segmentation_models_pytorch's, a window whose strides are not taken is dilated by them.
        """
        if self.take_strides or self.dilation_rule == "smp":
            return self.dilation
        return self.dilation // strides

    def pool(self, pool: Pool, x: Array, strides: int, **options: Any) -> Array:
        """`pool(x)` with effective strides.

        By the rules "timm" and "smp" its window is not dilated. By the rule "resample" it is dilated like a convolution
        in its place, so that the net computes the same numbers wherever the net without output stride has a pixel.
        """
        dilation = self.effective_dilation(strides) if self.dilation_rule == "resample" else 1
        return self._masked(pool, x)(x, strides=self.effective_strides(strides), dilation=dilation, **options)

    def zero_behind(self, x: Array) -> Array:
        """`x`, with masks zero behind each length."""
        return x if self.masks is None else self.masks.zero_behind(x)

    def max_pool(self, x: Array, **options: Any) -> Array:
        """`ops.max_pool`, which an output stride does not change."""
        return self._masked(ops.max_pool, x)(x, **options)

    def global_pool(self, x: Array, kind: str = "avg") -> Array:
        """[N, *spatial, C] -> [N, C], in at least float32: the mean ("avg") or the maximum ("max") of each example."""
        if self.masks is None:
            return ops.global_pool(x, kind)
        return {"avg": masked_mean, "max": masked_max}[kind](x, self.masks.at(x))

    def _masked(self, pool: Pool, x: Array) -> Pool:
        """`pool`, or with masks the pool that ignores what is behind each length of `x`.

        Raises:
          ValueError: there is no such pool.
        """
        if self.masks is None:
            return pool
        if pool not in MASKED_POOLS:
            raise ValueError(f"lengths: expected components that pool by avg_pool or max_pool, got {pool}")
        return partial(MASKED_POOLS[pool], mask=self.masks.at(x))

    def conv(
        self,
        features: int,
        kernel_size: int,
        strides: int = 1,
        *,
        name: str,
        dilation: int = 1,
        strides_in_pool: bool = False,
        **options: Any,
    ) -> Any:
        """A convolution; `dilation` multiplies the net's. `strides_in_pool`: a pool behind it takes the strides."""
        if OLD_CONV_OPTIONS & options.keys():
            return self.conv(features, kernel_size, strides, name=name, **new_conv_options(options))
        conv: Any = self.make_conv(
            features,
            kernel_size,
            strides=1 if strides_in_pool else self.effective_strides(strides),
            dilation=self.effective_dilation(strides) * dilation if kernel_size > 1 else 1,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
            **options,
        )
        if self.masks is None:
            return conv
        if getattr(conv, "pools_input", False):
            raise ValueError(f"lengths: expected convolutions that do not pool their input, got {type(conv).__name__}")
        return lambda x, **arguments: conv(self.zero_behind(x) if kernel_size > 1 else x, **arguments)

    def with_conv(self, kind: type[Conv], **options: Any) -> BlockContext:
        """The context with convolutions of another kind, with the same padding and initialiser."""
        shared = {
            name: getattr(self.make_conv, name) for name in ("same", "kernel_init") if hasattr(self.make_conv, name)
        }
        return replace(self, make_conv=Partial(kind, **shared, **options))

    def norm(self, *, name: str, weights: Array | None = None, **options: Any) -> Activation:
        """A norm; rows whose `weights` [N] are 0 are padding, which changes no batch statistics."""
        norm: Any = self.make_norm(name=name, dtype=self.dtype, param_dtype=self.param_dtype, **options)
        masks = self.masks

        def normalized(x: Array) -> Array:
            rows = weights if masks is None else masks.at(x)
            extra = {} if rows is None else {"weights": rows}
            return norm(x, use_batch_statistics=self.use_batch_statistics, **extra)

        return normalized

    def dense(self, features: int, *, name: str, **options: Any) -> Dense:
        return Dense(features, self.dtype, self.param_dtype, name=name, **options)

    def last_norm(self, *, name: str) -> Activation:
        """The last norm of a branch: zero-initialised, so that a residual block starts as its shortcut.

        Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 5.1.
        """
        return self.norm(name=name, scale_init=nn.initializers.zeros) if self.zero_init else self.norm(name=name)

    def last_conv(self, features: int, kernel_size: int, *, name: str) -> Any:
        """The last convolution of a branch that ends without a norm: zero-initialised where that is safe."""
        is_safe = getattr(self.make_conv, "zero_init_is_safe", True)
        init = nn.initializers.zeros if self.zero_init and is_safe else kaiming_normal
        return self.conv(features, kernel_size, name=name, kernel_init=init)

    def without_zero_init(self) -> BlockContext:
        return replace(self, zero_init=False)
