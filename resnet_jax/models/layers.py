"""Layers: the convolution, norm and dense modules, and the bundle of them that a block is built from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax import ops
from resnet_jax.models.partials import Partial
from resnet_jax.types import Array, at_least_float32

Dtype = Any
Initializer = Callable[..., Array]
Activation = Callable[[Array], Array]


def kaiming_normal(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
    """Normal with variance 2 / fan_out, fan_out = k * k * Co: He et al. 2015, "Delving Deep into Rectifiers", eq. 14.

    Drawn flat: XLA takes several times as long to compile the same draw in four dimensions.
    """
    fan_out = math.prod(shape[:-2]) * shape[-1]
    return jax.random.normal(key, (math.prod(shape),), dtype).reshape(shape) * math.sqrt(2 / fan_out)


def depthwise_normal(key: Array, shape: tuple[int, ...], dtype: Dtype = jnp.float32) -> Array:
    """`kaiming_normal` of one group: for depthwise kernels, whose outputs share no inputs, fan_out is k * k."""
    return kaiming_normal(key, shape, dtype) * math.sqrt(shape[-1])


def linear_uniform(key: Array, shape: tuple[int, int], dtype: Dtype = jnp.float32) -> Array:
    """Uniform in +-1 / sqrt(fan_in), as PyTorch initialises its linear layers."""
    bound = 1 / math.sqrt(shape[0])
    return jax.random.uniform(key, (math.prod(shape),), dtype, -bound, bound).reshape(shape)


class Conv(nn.Module):
    """Convolution without bias: [N, *spatial, Ci] -> [N, *ceil(spatial / s), features].

    The kernel is [k, Ci/groups, features] for inputs [N, L, Ci] and [k, k, Ci/groups, features] for [N, H, W, Ci].

    Raises:
      ValueError: the parameters are for inputs of another rank.
    """

    features: int
    kernel_size: int = 1  # an even one is padded (k - 1) // 2 before and k // 2 behind
    strides: int = 1
    dilation: int = 1
    groups: int = 1
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = kaiming_normal
    same: bool = False  # padded as TensorFlow does, and not symmetrically

    may_be_zero: ClassVar[bool] = True  # whether a kernel of zeros makes a map of zeros, with a gradient like another's

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", self.kernel_init, self.kernel_shape(x), self.param_dtype)
        return ops.conv(
            x.astype(self.dtype),
            self.prepared(ops.gathered(kernel)).astype(self.dtype),
            strides=self.strides,
            dilation=self.dilation,
            groups=self.groups,
            same=self.same,
        )

    def kernel_shape(self, x: Array, leading: int = 0) -> tuple[int, ...]:
        """(k,) * spatial rank + (Ci/groups, features); an existing kernel may have `leading` axes before these."""
        ops.check_layout(x)
        kernel = self.get_variable("params", "kernel") if self.has_variable("params", "kernel") else None
        if kernel is not None and kernel.ndim - leading != x.ndim:
            layouts = {rank + 2: layout for rank, layout in enumerate(ops.LAYOUTS, 1)}
            raise ValueError(
                f"expected {layouts[kernel.ndim - leading]}, which the parameters of {'/'.join(self.path)} are for, "
                f"got {layouts[x.ndim]}: {list(x.shape)}"
            )
        return (*(self.kernel_size,) * (x.ndim - 2), x.shape[-1] // self.groups, self.features)

    def prepared(self, kernel: Array) -> Array:
        """The kernel that is applied, of the one that is kept."""
        return kernel


class StandardizedConv(Conv):
    """A convolution by kernels of mean 0 and variance 1 per output channel (Qiao et al. 2019, eq. 5; BiT's epsilon)."""

    epsilon: float = 1e-8

    may_be_zero: ClassVar[bool] = False  # divided by the deviation of zeros, a gradient is 10^4 times as large

    def prepared(self, kernel: Array) -> Array:
        wide = kernel.astype(at_least_float32(self.param_dtype))
        axes = tuple(range(kernel.ndim - 1))
        mean, var = wide.mean(axes, keepdims=True), wide.var(axes, keepdims=True)
        return (wide - mean) * lax.rsqrt(var + self.epsilon)


class CondConv(Conv):
    """A convolution whose kernel is, for each example, a sum of `experts` kernels (Yang et al. 2019, eq. 1 and 2).

    The weights of the sum are `routes` [N, experts], or sigmoid(W mean(x)) with a W of its own.
    """

    experts: int = 4

    @nn.compact
    def __call__(self, x: Array, routes: Array | None = None) -> Array:
        if routes is None:
            dense = Dense(self.experts, self.dtype, self.param_dtype, name="routing")
            routes = jax.nn.sigmoid(dense(ops.global_pool(x)))
        shape = (self.experts, *self.kernel_shape(x, leading=1))
        kernels = ops.gathered(self.param("kernel", self._experts, shape, self.param_dtype))
        ops.add_macs(x.shape[0] * kernels.size, other=True)
        return ops.conv_per_example(
            x.astype(self.dtype),
            jnp.einsum("ne,e...->n...", routes.astype(self.dtype), kernels.astype(self.dtype)),
            strides=self.strides,
            dilation=self.dilation,
            groups=self.groups,
            same=self.same,
        )

    def _experts(self, key: Array, shape: tuple[int, ...], dtype: Dtype) -> Array:
        return jax.vmap(lambda k: self.kernel_init(k, shape[1:], dtype))(jax.random.split(key, shape[0]))


class BatchNorm(nn.Module):
    """Batch normalisation over batch and space (Ioffe and Szegedy 2015): [N, *spatial, C] -> the same shape.

    Statistics are kept and computed in at least float32. The running ones move by 1 - `decay` each step and hold the
    biased variance (PyTorch holds n / (n - 1) times it).

    Raises:
      ValueError: batch statistics of one value per channel; a group of devices that does not divide the axis.
    """

    epsilon: float = 1e-5
    decay: float = 0.9  # of the running statistics: torch's momentum 0.1
    axis_name: str | None = None  # the mapped axis whose devices share their statistics; None: each has its own
    group_size: int | None = None  # how many neighbouring devices of that axis share; None: all of them
    scale_init: Initializer = nn.initializers.ones
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, use_batch_statistics: bool) -> Array:
        shape = (x.shape[-1],)
        wide = at_least_float32(self.param_dtype)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, wide)
        var = self.variable("batch_stats", "var", jnp.ones, shape, wide)
        scale = ops.gathered(self.param("scale", self.scale_init, shape, self.param_dtype)).astype(wide)
        bias = ops.gathered(self.param("bias", nn.initializers.zeros, shape, self.param_dtype)).astype(wide)
        if not use_batch_statistics or x.size == 0:  # no images leave the statistics as they are
            running = ops.gathered(mean.value), ops.gathered(var.value)
            y = ops.normalize(x, *running, scale, bias, epsilon=self.epsilon)
            return y.astype(self.dtype)
        axis_name = None if self.is_initializing() else self.axis_name
        if not self.is_initializing():
            self._check_count(x, axis_name)
        y, batch_mean, batch_var = ops.batch_norm(
            x, scale, bias, epsilon=self.epsilon, axis_name=axis_name, axis_index_groups=self._groups(axis_name)
        )
        if not self.is_initializing():
            mean.value = self.decay * mean.value + (1 - self.decay) * batch_mean
            var.value = self.decay * var.value + (1 - self.decay) * batch_var
        return y.astype(self.dtype)

    def _check_count(self, x: Array, axis_name: str | None) -> None:
        """The mean of a single value is the value: the output would not depend on the image."""
        devices = 1 if axis_name is None else self.group_size or lax.axis_size(axis_name)
        if math.prod(x.shape[:-1]) * devices == 1:
            raise ValueError(
                f"training with one value per channel: batch normalisation at {'/'.join(self.path)} expected more than "
                f"one image or pixel a device, got {list(x.shape)}; use a larger batch, larger images or frozen_norms"
            )

    def _groups(self, axis_name: str | None) -> list[list[int]] | None:
        if axis_name is None or self.group_size is None:
            return None
        devices, size = lax.axis_size(axis_name), self.group_size
        if devices % size:
            raise ValueError(f"bn_group_size={size} does not divide the {devices} devices of axis {axis_name!r}")
        return [list(range(first, first + size)) for first in range(0, devices, size)]


class GroupNorm(nn.Module):
    """Group normalisation (Wu and He 2018): [N, *spatial, C] -> the same shape. It keeps no statistics.

    Each example is normalised alone, so that `axis_name`, `group_size` and `use_batch_statistics` change nothing.
    """

    groups: int = 32
    epsilon: float = 1e-5
    axis_name: str | None = None
    group_size: int | None = None
    scale_init: Initializer = nn.initializers.ones
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, use_batch_statistics: bool) -> Array:
        shape = (x.shape[-1],)
        wide = at_least_float32(self.param_dtype)
        scale = ops.gathered(self.param("scale", self.scale_init, shape, self.param_dtype)).astype(wide)
        bias = ops.gathered(self.param("bias", nn.initializers.zeros, shape, self.param_dtype)).astype(wide)
        return ops.group_norm(x, scale, bias, groups=self.groups, epsilon=self.epsilon).astype(self.dtype)


class Dense(nn.Module):
    """[..., Ci] -> [..., features]."""

    features: int
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32
    bias_init: Initializer | None = nn.initializers.zeros  # None: no bias

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = ops.gathered(self.param("kernel", linear_uniform, (x.shape[-1], self.features), self.param_dtype))
        y = ops.dense(x.astype(self.dtype), kernel.astype(self.dtype))
        if self.bias_init is None:
            return y
        bias = ops.gathered(self.param("bias", self.bias_init, (self.features,), self.param_dtype))
        return y + bias.astype(self.dtype).reshape((1,) * (x.ndim - 1) + (-1,))


@dataclass(frozen=True)
class Layers:
    """What a block may use: layer constructors and per-call choices, already bound by the net.

    `Layers()` is for a block on its own, in somebody else's module.

    `dilation` and `take_strides` make a net of a smaller output stride (à trous, Chen et al. 2017, DeepLab): where
    strides are not taken, the striding convolution samples as it did, and every later one is dilated instead.
    (TensorFlow's padding depends on the strides: there it samples beside where it did.) `dilation_rule` is what then
    becomes of pools: see `pooled`.
    """

    make_conv: Callable[..., nn.Module] = Conv
    make_norm: Callable[..., nn.Module] = BatchNorm
    act: Activation = ops.relu
    use_batch_statistics: bool = False
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32
    drop_path: Activation | None = (
        None  # stochastic depth on F(x), with this block's rate and draws; None: not asked for
    )
    dropout: Activation = lambda x: x  # before the classifier
    zero_init: bool = True  # a branch ends with zeros: its last norm's scale, or a last convolution's kernel
    dilation: int = 1
    take_strides: bool = True
    dilation_rule: str = "timm"
    block_strides: int = 1  # what the table asks of the block: for pieces that are not told otherwise

    def strides(self, strides: int) -> int:
        """The strides a block really takes where its row asks for `strides`."""
        return strides if self.take_strides else 1

    def gap(self, strides: int) -> int:
        """How far apart the pixels of a window of such strides are: what takes the strides samples as it did."""
        return self.dilation if self.take_strides else self.dilation // strides

    def pooled(self, pool: Callable[..., Array], x: Array, strides: int, **options: Any) -> Array:
        """`pool` of stride 1 where the block takes no strides, with its windows as they are: timm's rule.

        By the rule "resample" its windows are dilated as a convolution's in its place would be: at the places that the
        ordinary net has, the net then gives the same numbers.
        """
        gap = self.gap(strides) if self.dilation_rule == "resample" else 1
        return pool(x, strides=self.strides(strides), dilation=gap, **options)

    def conv(
        self,
        features: int,
        kernel_size: int,
        strides: int = 1,
        *,
        name: str,
        pooled: bool = False,
        spread: int = 1,
        **options: Any,
    ) -> nn.Module:
        """`pooled`: pooling behind it takes the strides in its place. `spread`: its own dilation, beside the net's."""
        return self.make_conv(
            features,
            kernel_size,
            strides=1 if pooled else self.strides(strides),
            dilation=self.gap(strides) * spread if kernel_size > 1 else 1,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name=name,
            **options,
        )

    def with_conv(self, kind: type[Conv], **options: Any) -> Layers:
        """Convolutions of another kind, padded and drawn as these are."""
        own = getattr(self.make_conv, "keywords", {})
        kept = {name: own[name] for name in ("same", "kernel_init") if name in own}
        return replace(self, make_conv=Partial(kind, **kept, **options))

    def norm(self, *, name: str, **options: Any) -> Activation:
        norm = self.make_norm(name=name, dtype=self.dtype, param_dtype=self.param_dtype, **options)
        return lambda x: norm(x, use_batch_statistics=self.use_batch_statistics)

    def dense(self, features: int, *, name: str, **options: Any) -> nn.Module:
        return Dense(features, self.dtype, self.param_dtype, name=name, **options)

    def last_norm(self, *, name: str) -> Activation:
        """The last norm of a branch: zero-initialised, so that a residual block starts as its shortcut.

        Goyal et al. 2017, "Accurate, Large Minibatch SGD", section 5.1.
        """
        return self.norm(name=name, scale_init=nn.initializers.zeros) if self.zero_init else self.norm(name=name)

    def last_conv(self, features: int, kernel_size: int, *, name: str) -> nn.Module:
        """The last convolution of a branch that ends without a norm: zero-initialised likewise, where it can be."""
        can = getattr(getattr(self.make_conv, "func", self.make_conv), "may_be_zero", True)
        init = nn.initializers.zeros if self.zero_init and can else kaiming_normal
        return self.conv(features, kernel_size, name=name, kernel_init=init)

    def without_zero_init(self) -> Layers:
        return replace(self, zero_init=False)
