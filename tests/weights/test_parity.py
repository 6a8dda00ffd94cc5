"""torchvision's and timm's numbers, in float64 and float32. See tests/golden/README.md."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from resnet_jax import load_pretrained
from resnet_jax.models import get_spec
from resnet_jax.tasks.losses import cross_entropy
from resnet_jax.weights.names import Names

FILES = sorted(file for library in ("timm", "torchvision") for file in (recipe.GOLDEN / library).glob("*.keys.json"))
NAMES = [file.name.removesuffix(".keys.json") for file in FILES]
# The others have other numbers, or one component more; they run with `-m parity`, because they take long.
ALWAYS = {
    "torchvision-resnet50",
    *(f"timm-{name}" for name in ("resnet18d", "skresnet18", "res2net50_26w_4s", "resnetv2_50x1_bit")),
    *(f"timm-{name}" for name in ("resnet50_clip", "tf_efficientnet_cc_b0_4e")),
}
NAMES = [pytest.param(name, marks=pytest.mark.slow if name in ALWAYS else pytest.mark.parity) for name in NAMES]
# Stages whose outputs are features of the library; 0 is the stem.
STAGES = {"torchvision": (1, 2, 3, 4), "timm": (0, 1, 2, 3, 4)}
SIZES = {"timm-resnet50_clip": 224}  # pixels; the others: 64
LABELS = jnp.array([1, 7, 123, 999])
EXACT = 1e-8


def golden(name):
    return np.load(recipe.GOLDEN / name.partition("-")[0] / f"{name}.npz")


@pytest.fixture
def file(request, tmp_path):
    library, _, model = request.param.partition("-")
    path = tmp_path / f"{request.param}.safetensors"
    save_file(recipe.torch_state(model, library), path)
    yield path
    path.unlink()


def images_for(file):
    size = SIZES.get(file.stem, 64)
    return np.random.default_rng(0).standard_normal((4, 3, size, size)).transpose(0, 2, 3, 1)


def load(file, **options):
    return load_pretrained(file, model=file.stem.partition("-")[2], **options)


def relative(a, b):
    return np.linalg.norm(np.asarray(a) - b) / np.linalg.norm(b)


@pytest.mark.parametrize("file", NAMES, indirect=True)
def test_equals_the_library(x64, file):
    expected = golden(file.stem)
    loaded = load(file, dtype="float64")
    library = file.stem.partition("-")[0]
    names = Names(library, get_spec(loaded.model).name_tables[library])
    images = jnp.asarray(images_for(file))

    outputs = jax.jit(lambda v: loaded.model.apply(v, images, train=False))(loaded.variables)
    assert relative(outputs.logits, expected["eval_logits"]) < EXACT
    stages = (1, 2, 3, 5, 7) if "efficientnet" in file.stem else STAGES[file.stem.partition("-")[0]]
    for i in range(sum(key.endswith("shape_nchw") for key in expected.files)):
        number = stages[i]
        feature = outputs.features[f"stage{number}" if number else "stem"]
        n, c, h, w = expected[f"feature{i}_shape_nchw"]
        assert feature.shape == (n, h, w, c)
        assert relative(feature[:, 0, 0], expected[f"feature{i}_corner"]) < EXACT

    single = loaded.model.clone(dtype=jnp.float32, param_dtype=jnp.float32)
    narrow = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), (loaded.variables, images))
    logits = jax.jit(lambda v, x: single.apply(v, x, train=False).logits)(*narrow)
    assert logits.dtype == jnp.float32
    # BiT's weights, of variance 1, make its features grow from block to block.
    assert relative(logits, expected["eval_logits"]) < (5e-5 if "bit" in file.stem else 2e-6)

    @jax.jit
    def train(variables):
        def loss(params):
            outputs, updated = loaded.model.apply(
                {**variables, "params": params}, images, train=True, mutable=["batch_stats"]
            )
            losses = cross_entropy(outputs.logits, LABELS, label_smoothing=0.1)
            return losses.mean(), (outputs, updated.get("batch_stats", {}))

        (value, aux), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
        return value, aux, jax.tree.map(lambda g: jnp.sqrt((g**2).sum()), gradient)

    value, (outputs, stats), norms = train(loaded.variables)
    assert relative(value, expected["train_loss"]) < EXACT
    assert relative(outputs.logits, expected["train_logits"]) < EXACT

    ours = {names.entry(("params", *path))[0]: float(norm) for path, norm in flatten_dict(norms).items()}
    theirs = dict(zip(expected["grad_norm_names"], expected["grad_norms"], strict=True))
    assert set(ours) == set(theirs)
    floor = np.median(list(theirs.values()))
    for name, norm in theirs.items():
        assert abs(ours[name] - norm) <= EXACT * max(norm, floor), name

    flat = {names.entry(("batch_stats", *path))[0]: (path[0], np.asarray(x)) for path, x in flatten_dict(stats).items()}
    library, _, model = file.stem.partition("-")
    before = recipe.torch_state(model, library)
    checked = [key for key in expected.files if key.startswith("after_train/")]
    assert len(checked) == (4 if stats else 0)
    for i, key in enumerate(checked):
        name = key.removeprefix("after_train/")
        child, moved = flat[name]
        if name.endswith("running_var"):  # torch's is unbiased: the new part is n / (n - 1) times ours
            # Two belong to the first norm, in the stem or the first block, and two to the last.
            part = child.partition("_")[0] if i < 2 else f"stage{len(loaded.model.stages)}"
            size = outputs.features[part].shape
            n = size[0] * size[1] * size[2]
            moved = 0.9 * before[name] + (moved - 0.9 * before[name]) * n / (n - 1)
        assert relative(moved, expected[key]) < EXACT, name
