"""Two-dimensional convolution."""

from __future__ import annotations

from jax import lax

from resnet_jax.ops.tally import add_macs
from resnet_jax.types import Array

LAYOUT = ("NHWC", "HWIO", "NHWC")


def conv2d(x: Array, kernel: Array, *, strides: int = 1, dilation: int = 1, groups: int = 1) -> Array:
    """[N, H, W, Ci], [k, k, Ci/groups, Co] -> [N, ceil(H/strides), ceil(W/strides), Co], for odd k.

    The padding is symmetric, dilation * (k - 1) / 2 on every side: PyTorch's, and not SAME, which at even sizes and
    stride 2 pads one side only.
    """
    pads = [(dilation * (k - 1) // 2,) * 2 for k in kernel.shape[:2]]
    y = lax.conv_general_dilated(
        x,
        kernel,
        (strides, strides),
        pads,
        rhs_dilation=(dilation, dilation),
        dimension_numbers=LAYOUT,
        feature_group_count=groups,
    )
    add_macs(y.size * kernel.size // kernel.shape[-1])
    return y
