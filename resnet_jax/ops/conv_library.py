"""XLA's convolution."""

from __future__ import annotations

from jax import lax

from resnet_jax.ops.windows import Pads, centred
from resnet_jax.types import Array

DIMENSION_NUMBERS = (("NWC", "WIO", "NWC"), ("NHWC", "HWIO", "NHWC"), ("NDHWC", "DHWIO", "NDHWC"))  # by spatial rank


def library_conv(
    x: Array, kernel: Array, *, strides: int, dilation: int, groups: int = 1, pads: Pads | None = None
) -> Array:
    """[N, *spatial, Ci], [*k, Ci/groups, Co] -> [N, *spatial', Co]. The default padding keeps the size at stride 1."""
    rank = x.ndim - 2
    pads = pads or [centred(k, dilation) for k in kernel.shape[:rank]]
    is_symbolic = not all(isinstance(side, int) for sides in pads for side in sides)
    return lax.conv_general_dilated(
        x,
        kernel,
        (strides,) * rank,
        "SAME" if is_symbolic else pads,  # the same padding: JAX refuses symbolic numbers here
        rhs_dilation=(dilation,) * rank,
        dimension_numbers=DIMENSION_NUMBERS[rank - 1],
        feature_group_count=groups,
    )
