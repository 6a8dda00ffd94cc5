"""The context of a block: output stride, zero initialisation, kinds of convolution."""

import flax.linen as nn
import pytest

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.initializers import depthwise_normal, kaiming_normal
from resnet_jax.models.layers import CondConv, Conv, StandardizedConv
from resnet_jax.models.partials import Partial


@pytest.mark.parametrize(
    ("dilation", "take_strides", "strides", "expected"),
    [(1, True, 2, (2, 1)), (2, True, 1, (1, 2)), (2, False, 2, (1, 1)), (4, False, 2, (1, 2)), (4, False, 1, (1, 4))],
)
def test_strides_that_are_not_taken_leave_the_sampled_pixels(dilation, take_strides, strides, expected):
    context = BlockContext(dilation=dilation, take_strides=take_strides)
    assert (context.effective_strides(strides), context.effective_dilation(strides)) == expected
    conv = context.conv(8, 3, strides, name="conv")
    assert (conv.strides, conv.dilation) == expected
    assert context.conv(8, 1, strides, name="conv").dilation == 1
    assert context.conv(8, 3, strides, dilation=2, name="conv").dilation == 2 * expected[1]
    assert context.conv(8, 3, strides, strides_in_pool=True, name="conv").strides == 1


@pytest.mark.parametrize(("rule", "dilation"), [("timm", 1), ("resample", 2)])
def test_pools_are_dilated_by_the_rule_resample_alone(rule, dilation):
    def pool(x, *, strides, dilation, window):
        return strides, dilation, window

    context = BlockContext(dilation=4, take_strides=False, dilation_rule=rule)
    assert context.pool(pool, None, 2, window=3) == (1, dilation, 3)


def test_another_kind_of_convolution_keeps_padding_and_initialiser():
    context = BlockContext(make_conv=Partial(Conv, same=True, kernel_init=depthwise_normal)).with_conv(
        CondConv, experts=2
    )
    conv = context.conv(8, 3, name="conv")
    assert isinstance(conv, CondConv)
    assert (conv.same, conv.kernel_init, conv.experts) == (True, depthwise_normal, 2)


@pytest.mark.parametrize(
    ("kind", "init"),
    [(Conv, nn.initializers.zeros), (StandardizedConv, kaiming_normal), (Partial(StandardizedConv), kaiming_normal)],
)
def test_last_convolutions_are_zero_initialised_where_that_is_safe(kind, init):
    context = BlockContext(make_conv=kind)
    assert context.last_conv(4, 1, name="conv").kernel_init is init
    assert context.without_zero_init().last_conv(4, 1, name="conv").kernel_init is kaiming_normal


def test_contexts_of_equal_fields_are_equal():
    assert BlockContext(act=ops.silu) == BlockContext(act=ops.silu) != BlockContext()
