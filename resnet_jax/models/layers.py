"""Layers: convolution, norm and dense modules."""

from __future__ import annotations

import math
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax import ops
from resnet_jax.models.deprecated import renamed
from resnet_jax.models.initializers import Initializer, kaiming_normal, linear_uniform
from resnet_jax.types import Array, Dtype, at_least_float32


class Conv(nn.Module):
    """Convolution without bias: [N, *spatial, Ci] -> [N, *ceil(spatial / s), features].

    The input's rank decides the kernel's: [k, Ci/groups, features] for [N, L, Ci], [k, k, ...] for [N, H, W, Ci].

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

    zero_init_is_safe: ClassVar[bool] = True  # zero output and a well-scaled gradient

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
            hint = "; x[None] is a batch of one" if kernel.ndim - leading == x.ndim + 1 else ""
            layouts = {rank + 2: layout for rank, layout in enumerate(ops.LAYOUTS, 1)}
            raise ValueError(
                f"expected {layouts[kernel.ndim - leading]}, which the parameters of {'/'.join(self.path)} are for, "
                f"got {layouts[x.ndim]}: {list(x.shape)}{hint}"
            )
        return (*(self.kernel_size,) * (x.ndim - 2), x.shape[-1] // self.groups, self.features)

    def prepared(self, kernel: Array) -> Array:
        """The kernel that is applied, of the one that is kept."""
        return kernel


class StandardizedConv(Conv):
    """A convolution by kernels of mean 0 and variance 1 per output channel (Qiao et al. 2019, eq. 5; BiT's epsilon)."""

    epsilon: float = 1e-8

    zero_init_is_safe: ClassVar[bool] = False  # divided by the deviation of zeros, a gradient is 10^4 times as large

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


__getattr__ = renamed(
    __name__,
    Layers="resnet_jax.models.context.BlockContext",
    Activation="resnet_jax.models.protocols.Activation",
    depthwise_normal="resnet_jax.models.initializers.depthwise_normal",
)
