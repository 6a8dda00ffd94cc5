"""Layers: convolution, norm and dense modules."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax import ops
from resnet_jax.models.initializers import Initializer, kaiming_normal, linear_uniform
from resnet_jax.types import Array, Dtype, at_least_float32


class Conv(nn.Module):
    """Convolution without bias: [N, *spatial, Ci] -> [N, *ceil(spatial / s), features].

    The input's rank decides the kernel's: [k, Ci/groups, features] for [N, L, Ci], [k, k, ...] for [N, H, W, Ci].

    Raises:
      ValueError: the parameters are for inputs of another rank.
    """

    features: int
    kernel_size: int = 1  # an even kernel is padded by (k - 1) // 2 before and k // 2 after
    strides: int = 1
    dilation: int = 1
    groups: int = 1
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = kaiming_normal
    same: bool = False  # TensorFlow's padding instead of the symmetric one

    causal: ClassVar[bool] = False  # whether all padding is before: no output depends on a later input
    pools_input: ClassVar[bool] = False  # whether the kernel depends on a mean of the input
    zero_init_is_safe: ClassVar[bool] = True  # zero output and a well-scaled gradient

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", self.kernel_init, self.kernel_shape(x), self.param_dtype)
        return ops.conv(
            x.astype(self.dtype),
            self.transform_kernel(ops.unshard(kernel)).astype(self.dtype),
            strides=self.strides,
            dilation=self.dilation,
            groups=self.groups,
            same=self.same,
            causal=self.causal,
        )

    def kernel_shape(self, x: Array, leading: int = 0) -> tuple[int, ...]:
        """(k,) * spatial rank + (Ci/groups, features); an existing kernel may have `leading` axes before these."""
        ops.check_layout(x)
        layouts = {rank + 2 + leading: layout for rank, layout in enumerate(ops.LAYOUTS, 1)}
        axes = x.ndim + leading
        if self.has_variable("params", "kernel"):
            kernel = nn.meta.unbox(self.get_variable("params", "kernel"))
            if kernel.ndim != axes and kernel.ndim in layouts:
                hint = "; x[None] is a batch of one" if kernel.ndim == axes + 1 else ""
                raise ValueError(
                    f"expected {layouts[kernel.ndim]}, which the parameters of {'/'.join(self.path)} are for, "
                    f"got {layouts[axes]}: {list(x.shape)}{hint}"
                )
        return (*(self.kernel_size,) * (x.ndim - 2), x.shape[-1] // self.groups, self.features)

    def transform_kernel(self, kernel: Array) -> Array:
        """The kernel that the input is convolved with, computed from the parameter."""
        return kernel


class BiasedConv(Conv):
    """Convolution with a bias: a `Conv` with the parameter "bias" [features]."""

    bias_init: Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: Array) -> Array:
        y = super().__call__(x)
        bias = ops.unshard(self.param("bias", self.bias_init, (self.features,), self.param_dtype))
        return y + bias.astype(y.dtype).reshape((1,) * (y.ndim - 1) + (-1,))


class StandardizedConv(Conv):
    """Convolution with kernels of mean 0 and variance 1 per output channel (Qiao et al. 2019, eq. 5; BiT's epsilon)."""

    epsilon: float = 1e-8

    zero_init_is_safe: ClassVar[bool] = False  # the deviation of zeros divides the gradient: 10^4 times as large

    def transform_kernel(self, kernel: Array) -> Array:
        wide = kernel.astype(at_least_float32(self.param_dtype))
        axes = tuple(range(kernel.ndim - 1))
        mean, var = wide.mean(axes, keepdims=True), wide.var(axes, keepdims=True)
        return (wide - mean) * lax.rsqrt(var + self.epsilon)


class CondConv(Conv):
    """Convolution whose kernel is a weighted sum of `experts` kernels per example (Yang et al. 2019, eq. 1 and 2).

    The weights are `routes` [N, experts], by default sigmoid(W mean(x)) with the layer's parameter W.
    """

    experts: int = 4

    pools_input: ClassVar[bool] = True

    @nn.compact
    def __call__(self, x: Array, routes: Array | None = None) -> Array:
        if routes is None:
            dense = Dense(self.experts, self.dtype, self.param_dtype, name="routing")
            routes = jax.nn.sigmoid(dense(ops.global_pool(x)))
        shape = (self.experts, *self.kernel_shape(x, leading=1))
        kernels = ops.unshard(self.param("kernel", self._init_experts, shape, self.param_dtype))
        ops.add_macs(x.shape[0] * kernels.size)
        return ops.conv_per_example(
            x.astype(self.dtype),
            jnp.einsum("ne,e...->n...", routes.astype(self.dtype), kernels.astype(self.dtype)),
            strides=self.strides,
            dilation=self.dilation,
            groups=self.groups,
            same=self.same,
        )

    def _init_experts(self, key: Array, shape: tuple[int, ...], dtype: Dtype) -> Array:
        return jax.vmap(lambda k: self.kernel_init(k, shape[1:], dtype))(jax.random.split(key, shape[0]))


class BatchNorm(nn.Module):
    """Batch normalisation over batch and space (Ioffe and Szegedy 2015): [N, *spatial, C] -> the same shape.

    Statistics are stored and computed in at least float32. The running ones move by 1 - `decay` each step and hold the
    biased variance (PyTorch holds n / (n - 1) times it). Rows whose `weights` [N] are 0, or positions along the first
    spatial axis whose `weights` [N, L] are 0, are padding, which changes no statistics.

    Raises:
      ValueError: there is one value per channel to normalise; `group_size` does not divide the axis.
    """

    epsilon: float = 1e-5
    decay: float = 0.9  # of the running statistics; PyTorch's momentum is 1 - decay
    axis_name: str | None = None  # mapped axis whose devices share statistics; None: each device has its own
    group_size: int | None = None  # neighbouring devices of that axis that share; None: all
    scale_init: Initializer = nn.initializers.ones
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32
    is_affine: bool = True  # False: a scale of 1 and a bias of 0, which are no parameters

    @nn.compact
    def __call__(self, x: Array, *, use_batch_statistics: bool, weights: Array | None = None) -> Array:
        shape = (x.shape[-1],)
        wide = at_least_float32(self.param_dtype)
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape, wide)
        var = self.variable("batch_stats", "var", jnp.ones, shape, wide)
        scale, bias = self._scale_and_bias(shape, wide)
        if not use_batch_statistics or x.size == 0:  # an empty batch leaves the statistics unchanged
            running = ops.unshard(mean.value), ops.unshard(var.value)
            y = ops.normalize(x, *running, scale, bias, epsilon=self.epsilon)
            return y.astype(self.dtype)
        axis_name = None if self.is_initializing() else self.axis_name
        if not self.is_initializing():
            self._check_count(x, axis_name)
        shared: dict[str, Any] = {"axis_name": axis_name, "axis_index_groups": self._groups(axis_name)}
        y, batch_mean, batch_var = ops.batch_norm(x, scale, bias, epsilon=self.epsilon, weights=weights, **shared)
        if not self.is_initializing():
            decay = self.decay if weights is None else self._decay_of_padding(weights, axis_name).astype(wide)
            mean.value = decay * mean.value + (1 - decay) * batch_mean
            var.value = decay * var.value + (1 - decay) * batch_var
        return y.astype(self.dtype)

    def _scale_and_bias(self, shape: tuple[int, ...], dtype: Dtype) -> tuple[Array, Array]:
        if not self.is_affine:
            return jnp.ones(shape, dtype), jnp.zeros(shape, dtype)
        scale = self.param("scale", self.scale_init, shape, self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, self.param_dtype)
        return ops.unshard(scale).astype(dtype), ops.unshard(bias).astype(dtype)

    def _decay_of_padding(self, weights: Array, axis_name: str | None) -> Array:
        """`decay`, or 1 where all rows are padding: that leaves the statistics unchanged, as an empty batch does."""
        rows = weights.sum()
        if axis_name is not None:
            rows = lax.psum(rows, axis_name, axis_index_groups=self._groups(axis_name))
        return jnp.where(rows > 0, self.decay, 1)

    def _check_count(self, x: Array, axis_name: str | None) -> None:
        """Raises ValueError for one value per channel: it is its own mean, so the output would not depend on it."""
        devices = 1 if axis_name is None else self.group_size or lax.axis_size(axis_name)
        if math.prod(x.shape[:-1]) * devices == 1:
            raise ValueError(
                f"training with one value per channel: batch normalisation at {'/'.join(self.path)} expected more than "
                f"one image or pixel per device, got {list(x.shape)}; use a larger batch, larger images or frozen_norms"
            )

    def _groups(self, axis_name: str | None) -> list[list[int]] | None:
        """Indices of the devices that share statistics, group by group; None: all devices share."""
        if axis_name is None or self.group_size is None:
            return None
        devices, size = lax.axis_size(axis_name), self.group_size
        if devices % size:
            raise ValueError(
                f"bn_group_size: expected a divisor of the {devices} devices of axis {axis_name!r}, got {size}"
            )
        return [list(range(first, first + size)) for first in range(0, devices, size)]


class GroupNorm(nn.Module):
    """Group normalisation (Wu and He 2018): [N, *spatial, C] -> the same shape.

    Each example is normalised alone and there are no running statistics: `axis_name`, `group_size`,
    `use_batch_statistics` and `weights` [N] have no effect; they make it a drop-in for `BatchNorm`. Positions whose
    `weights` [N, L] are 0 are padding, which changes no statistics.
    """

    groups: int = 32
    epsilon: float = 1e-5
    axis_name: str | None = None
    group_size: int | None = None
    scale_init: Initializer = nn.initializers.ones
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array, *, use_batch_statistics: bool, weights: Array | None = None) -> Array:
        shape = (x.shape[-1],)
        wide = at_least_float32(self.param_dtype)
        scale = ops.unshard(self.param("scale", self.scale_init, shape, self.param_dtype)).astype(wide)
        bias = ops.unshard(self.param("bias", nn.initializers.zeros, shape, self.param_dtype)).astype(wide)
        groups = self.groups_of(x.shape[-1])
        positions = weights if weights is not None and weights.ndim > 1 else None
        y = ops.group_norm(x, scale, bias, groups=groups, epsilon=self.epsilon, weights=positions)
        return y.astype(self.dtype)

    @nn.nowrap
    def groups_of(self, channels: int) -> int:
        """Number of groups of a map with so many channels."""
        return self.groups


class LayerNorm(nn.Module):
    """Normalisation of each pixel over its channels (Ba et al. 2016): [..., C] -> the same shape."""

    epsilon: float = 1e-6
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        wide = at_least_float32(self.param_dtype)
        scale = ops.unshard(self.param("scale", nn.initializers.ones, (x.shape[-1],), self.param_dtype)).astype(wide)
        bias = ops.unshard(self.param("bias", nn.initializers.zeros, (x.shape[-1],), self.param_dtype)).astype(wide)
        centred = x.astype(wide) - x.astype(wide).mean(-1, keepdims=True)
        y = centred * lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + self.epsilon)
        shape = (1,) * (x.ndim - 1) + (-1,)
        return (y * scale.reshape(shape) + bias.reshape(shape)).astype(self.dtype)


class Dense(nn.Module):
    """Fully connected layer: [..., Ci] -> [..., features]."""

    features: int
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32
    bias_init: Initializer | None = nn.initializers.zeros  # None: no bias
    kernel_init: Initializer = linear_uniform

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = ops.unshard(self.param("kernel", self.kernel_init, (x.shape[-1], self.features), self.param_dtype))
        y = ops.dense(x.astype(self.dtype), kernel.astype(self.dtype))
        if self.bias_init is None:
            return y
        bias = ops.unshard(self.param("bias", self.bias_init, (self.features,), self.param_dtype))
        return y + bias.astype(self.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
