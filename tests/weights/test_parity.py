"""torchvision's numbers, in float64 and float32. See tests/golden/README.md."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from resnet_jax import load_pretrained
from resnet_jax.training.losses import cross_entropy
from resnet_jax.weights.names import their_name

# 18 has basic blocks and 50 bottlenecks; the others repeat them.
NAMES = ["resnet18", pytest.param("resnet34", marks=pytest.mark.slow), pytest.param("resnet50", marks=pytest.mark.slow)]
NAMES += [pytest.param(name, marks=pytest.mark.slow) for name in ("resnet101", "resnet152")]
IMAGES = np.random.default_rng(0).standard_normal((4, 3, 64, 64)).transpose(0, 2, 3, 1)
LABELS = jnp.array([1, 7, 123, 999])
EXACT = 1e-8


def golden(name):
    return np.load(recipe.GOLDEN / "torchvision" / f"torchvision-{name}.npz")


@pytest.fixture
def file(request, tmp_path):
    path = tmp_path / f"{request.param}.safetensors"
    save_file(recipe.torch_state(request.param), path)
    yield path
    path.unlink()


def relative(a, b):
    return np.linalg.norm(np.asarray(a) - b) / np.linalg.norm(b)


@pytest.mark.parametrize("file", NAMES, indirect=True)
def test_equals_torchvision(x64, file):
    wanted = golden(file.stem)
    loaded = load_pretrained(file, dtype="float64")
    images = jnp.asarray(IMAGES)

    outputs = jax.jit(lambda v: loaded.model.apply(v, images, train=False))(loaded.variables)
    assert relative(outputs.logits, wanted["eval_logits"]) < EXACT
    for i in range(4):
        feature = outputs.features[f"stage{i + 1}"]
        n, c, h, w = wanted[f"feature{i}_shape_nchw"]
        assert feature.shape == (n, h, w, c)
        assert relative(feature[:, 0, 0], wanted[f"feature{i}_corner"]) < EXACT

    @jax.jit
    def train(variables):
        def loss(params):
            outputs, updated = loaded.model.apply(
                {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
            )
            losses = cross_entropy(outputs.logits, LABELS, label_smoothing=0.1)
            return losses.mean(), (outputs, updated["batch_stats"])

        (value, aux), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        return value, aux, jax.tree.map(lambda g: jnp.sqrt((g**2).sum()), gradient)

    value, (outputs, stats), norms = train(loaded.variables)
    assert relative(value, wanted["train_loss"]) < EXACT
    assert relative(outputs.logits, wanted["train_logits"]) < EXACT

    ours = {their_name(("params", *path)): float(norm) for path, norm in flatten_dict(norms).items()}
    theirs = dict(zip(wanted["grad_norm_names"], wanted["grad_norms"], strict=True))
    assert set(ours) == set(theirs)
    floor = np.median(list(theirs.values()))
    for name, norm in theirs.items():
        assert abs(ours[name] - norm) <= EXACT * max(norm, floor), name

    flat = {their_name(("batch_stats", *path)): np.asarray(x) for path, x in flatten_dict(stats).items()}
    before = recipe.torch_state(file.stem)
    checked = [key for key in wanted.files if key.startswith("after_train/")]
    assert len(checked) == 4
    for key in checked:
        name = key.removeprefix("after_train/")
        moved = flat[name]
        if name.endswith("running_var"):  # torch's is the unbiased one: n / (n - 1) times the part that is new
            last = name.startswith("layer4")
            size = outputs.features["stage4" if last else "stem"].shape
            n = size[0] * size[1] * size[2]
            moved = 0.9 * before[name] + (moved - 0.9 * before[name]) * n / (n - 1)
        assert relative(moved, wanted[key]) < EXACT, name


@pytest.mark.parametrize("file", NAMES, indirect=True)
def test_equals_torchvision_in_float32(file):
    loaded = load_pretrained(file)
    images = jnp.asarray(IMAGES, jnp.float32)
    logits = jax.jit(lambda v: loaded.model.apply(v, images, train=False).logits)(loaded.variables)
    assert logits.dtype == jnp.float32
    assert relative(logits, golden(file.stem)["eval_logits"]) < 2e-6
