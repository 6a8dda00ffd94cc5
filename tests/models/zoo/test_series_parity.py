"""Nets of time series against tsai's, in float64: logits, loss, gradients and updated statistics.

Run by `pytest -m parity`, after `pip install torch tsai`, or `pip install --no-deps tsai fastai fastcore` and what they
import.
"""

import importlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.models import create_model, get_spec
from resnet_jax.weights.convert import to_state, to_variables
from resnet_jax.weights.names import Names, depths_of

pytestmark = pytest.mark.parity
CHANNELS, CLASSES, LENGTH = 3, 4, 41
ORACLES = {  # module and class or function of tsai.models
    "tsc_resnet": ("ResNet", "ResNet"),
    "tsc_fcn": ("FCN", "FCN"),
    "inception_time": ("InceptionTime", "InceptionTime"),
    "xresnet1d18": ("XResNet1d", "xresnet1d18"),
    "xresnet1d34": ("XResNet1d", "xresnet1d34"),
    "xresnet1d50": ("XResNet1d", "xresnet1d50"),
    "xresnet1d101": ("XResNet1d", "xresnet1d101"),
    "tcn": ("TCN", "TCN"),
}


@pytest.fixture(scope="module")
def torch():
    pytest.importorskip("tsai.models")
    return pytest.importorskip("torch")


def oracle(name, torch):
    """tsai's net in float64, with random norms."""
    module, make = ORACLES[name]
    torch.manual_seed(0)
    net = getattr(importlib.import_module(f"tsai.models.{module}"), make)(CHANNELS, CLASSES).double()
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if value.is_floating_point() and value.ndim == 1:
                value.copy_(
                    torch.rand(value.shape) + 0.5 if key.endswith(("weight", "var")) else torch.randn(value.shape) / 5
                )
    return net


class Converted:
    """tsai's arrays as variables here, and back, by the name table of a net."""

    def __init__(self, name):
        table = get_spec(name).name_tables["tsai"]
        model = create_model(name, in_channels=CHANNELS, num_classes=CLASSES, dtype="float64", param_dtype="float64")
        self.net = model.clone(**table.overrides)
        self.names = Names("tsai", table, depths_of(model))

    def to_variables(self, state):
        return to_variables(state, self.net, self.names)

    def to_state(self, variables):
        return to_state(variables, self.names)


def arrays(tensors):
    return {key: np.asarray(x) for key, x in tensors.items() if "num_batches" not in key}


def relative_error(actual, expected):
    return np.linalg.norm(actual - expected) / max(np.linalg.norm(expected), 1e-12)


@pytest.mark.parametrize("name", ORACLES)
def test_tsai(x64, name, torch):
    theirs, ours = oracle(name, torch), Converted(name)
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((5, LENGTH, CHANNELS)), rng.integers(0, CLASSES, 5)
    state = {key: value.copy() for key, value in arrays(theirs.state_dict()).items()}
    variables = ours.to_variables(state)
    back = ours.to_state(variables)
    assert back.keys() == state.keys()
    for key, value in state.items():
        np.testing.assert_array_equal(back[key], value)
    assert sum(x.size for x in jax.tree.leaves(variables["params"])) == sum(x.numel() for x in theirs.parameters())

    inputs = torch.from_numpy(x.transpose(0, 2, 1).copy())
    with torch.no_grad():
        expected = theirs.eval()(inputs).numpy()
    logits = jax.jit(partial(ours.net.apply, train=False))(variables, jnp.asarray(x)).logits
    assert relative_error(logits, expected) < 1e-8

    def loss(params):
        both = {**variables, "params": params}
        outputs, updated = ours.net.apply(both, jnp.asarray(x), train=True, mutable=["batch_stats"])
        return -jnp.take_along_axis(jax.nn.log_softmax(outputs.logits), labels[:, None], 1).mean(), updated

    (value, updated), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])
    expected = torch.nn.functional.cross_entropy(theirs.train()(inputs), torch.from_numpy(labels))
    expected.backward()
    assert abs(float(value) - expected.item()) < 1e-8 * abs(expected.item())
    theirs_gradients = arrays({key: x.grad for key, x in theirs.named_parameters(remove_duplicate=False)})
    ours_gradients = ours.to_state({"params": gradients})
    assert ours_gradients.keys() == theirs_gradients.keys()
    scale = max(np.linalg.norm(x) for x in theirs_gradients.values())
    for key, gradient in theirs_gradients.items():
        assert np.linalg.norm(ours_gradients[key] - gradient) < 1e-8 * scale, key
    assert any("running" in key for key in state) == (name != "tcn")
    if name != "tcn":
        compare_statistics(state, ours.to_state(updated), arrays(theirs.state_dict()))


def compare_statistics(before, ours, theirs):
    """Running means are equal; PyTorch's running variances have n / (n - 1) times the batch's."""
    for key, value in ours.items():
        assert "running" in key
        if key.endswith("mean"):
            assert relative_error(value, theirs[key]) < 1e-8, key
        else:
            ratio = (theirs[key] - 0.9 * before[key]) / (value - 0.9 * before[key])
            counts = ratio / (ratio - 1)  # of values of a channel
            assert min(np.abs(counts / (5 * -(-LENGTH // 2**power)) - 1).max() for power in range(7)) < 1e-6, key
