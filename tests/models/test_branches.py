from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from resnet_jax.models import ResNet, Stage
from resnet_jax.models.blocks import Residual
from resnet_jax.models.branches import Bottleneck
from resnet_jax.models.layers import Conv
from resnet_jax.models.stems import CifarStem


@pytest.mark.parametrize(("in_1x1", "conv1"), [(False, (4, 16, 16, 8)), (True, (4, 8, 8, 8))])
def test_the_stride_of_a_bottleneck_sits_on_the_3x3_or_on_the_first_1x1(in_1x1, conv1):
    shapes = {}

    class Spy(Conv):
        @nn.compact
        def __call__(self, x):
            y = Conv.__call__(self, x)
            shapes[self.name] = y.shape
            return y

    net = ResNet(
        stages=(Stage(1, 32, 2, partial(Residual, branch=partial(Bottleneck, strides_in_1x1=in_1x1))),),
        stem=CifarStem,
        conv=Spy,
    )
    jax.eval_shape(lambda: net.init(jax.random.key(0), jnp.zeros((4, 16, 16, 3)), train=False))
    assert shapes["conv1"] == conv1
    assert shapes["conv2"] == (4, 8, 8, 8)
