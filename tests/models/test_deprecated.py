"""Names and signatures of 0.1.0 work, with a warning."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from resnet_jax import ops
from resnet_jax.models import ResNet, Stage, heads, shortcuts
from resnet_jax.models.attention import SqueezeExcite
from resnet_jax.models.blocks import Residual
from resnet_jax.models.context import BlockContext
from resnet_jax.models.initializers import depthwise_normal
from resnet_jax.models.partials import Partial
from resnet_jax.models.protocols import Activation

X = jnp.zeros((1, 8, 8, 3))


@pytest.mark.parametrize(
    ("module", "name", "now"),
    [
        ("layers", "Layers", BlockContext),
        ("layers", "Activation", Activation),
        ("layers", "depthwise_normal", depthwise_normal),
        ("shortcuts", "Shortcut", shortcuts.BaseShortcut),
        ("heads", "Head", heads.BaseHead),
    ],
)
def test_old_names_give_the_new_objects(module, name, now):
    with pytest.warns(DeprecationWarning, match=f"resnet_jax.models.{module}.{name} is now"):
        old = getattr(__import__(f"resnet_jax.models.{module}", fromlist=[name]), name)
    assert old is now


def test_a_module_says_which_names_it_has_not():
    with pytest.raises(AttributeError, match="module 'resnet_jax.models.shortcuts' has no attribute 'Shortcuts'"):
        shortcuts.Shortcuts  # noqa: B018


def test_old_options_of_convolutions_work():
    context = BlockContext(dilation=2)
    with pytest.warns(DeprecationWarning, match="the option spread of Layers.conv is now dilation"):
        assert context.conv(8, 3, spread=2, groups=2, name="conv") == context.conv(
            8, 3, dilation=2, groups=2, name="conv"
        )
    with pytest.warns(DeprecationWarning, match="the option pooled of Layers.conv is now strides_in_pool"):
        assert context.conv(8, 3, 2, pooled=True, name="conv").strides == 1


class Gate(nn.Module):
    """A combine as README showed it in 0.1.0."""

    layers: BlockContext

    @nn.compact
    def __call__(self, x, y, s):
        t = nn.sigmoid(self.layers.conv(y.shape[-1], 1, name="gate")(y))
        return t * y + (1 - t) * s


class Scale(nn.Module):
    layers: BlockContext

    @nn.compact
    def __call__(self, y):
        return 2 * y


def test_components_called_with_layers_alone_work():
    block = partial(Residual, combine=Gate, attend=Partial(Scale))
    net = ResNet(stages=(Stage(1, 8, 2, block),), stem_features=4, num_classes=3)
    with pytest.warns(DeprecationWarning) as warned:
        params = jax.eval_shape(partial(net.init, train=False), jax.random.key(0), X)["params"]
    assert params["stage1_block0"]["combine"]["gate"]["kernel"].shape == (1, 1, 8, 8)
    messages = {str(warning.message).partition(";")[0] for warning in warned}
    assert messages == {"Gate takes (layers, *, name)", f"{Partial(Scale)!r} takes (layers, *, name)"}


def test_components_of_the_new_signature_give_no_warning():
    net = ResNet(stages=(Stage(1, 8, 1, partial(Residual, attend=SqueezeExcite)),), stem_features=4)
    jax.eval_shape(partial(net.init, train=False), jax.random.key(0), X)


def test_old_names_of_the_contexts_methods_and_of_a_shortcuts_field():
    class Twice(shortcuts.BaseShortcut):
        @nn.compact
        def __call__(self, x):
            layers = self.layers
            assert (layers.strides(2), layers.gap(2)) == (1, 2)
            return layers.pooled(ops.avg_pool, x, 2, window=2)

    context = BlockContext(dilation=4, take_strides=False)
    with pytest.warns(DeprecationWarning) as warned:
        assert Twice(context, 3, 2).apply({}, X).shape == (1, 7, 7, 3)
    names = ("Shortcut.layers", "Layers.strides", "Layers.gap", "Layers.pooled")
    assert [str(warning.message).partition(" ")[0] for warning in warned] == list(names)
