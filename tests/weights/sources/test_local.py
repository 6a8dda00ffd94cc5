import jax
import numpy as np
import optax
import pytest
import recipe

from resnet_jax import Preprocess, TrainState, create_model, load_pretrained, save_checkpoint
from resnet_jax.weights.sources.local import hub_file, is_checkpoint

PREPROCESS = Preprocess(image_size=8, resize=8, mean=(0.5,), std=(0.25,))
OVERRIDES = {"num_classes": 2, "in_channels": 1}
MODEL = create_model("cifar_resnet8", **OVERRIDES)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    state = TrainState.from_variables(recipe.variables(MODEL), optax.sgd(0.1), jax.random.key(0))
    options = {"overrides": OVERRIDES, "preprocess": PREPROCESS, "classes": ("cat", "dog")}
    save_checkpoint(path, state, "cifar_resnet8", **options)
    return path


def test_a_run_its_checkpoints_and_one_of_them_are_sources(run):
    for path in (run, run / "checkpoints", run / "checkpoints" / "0"):
        assert is_checkpoint(path)
        loaded = load_pretrained(path)
        assert (loaded.model, loaded.preprocess, loaded.classes) == (MODEL, PREPROCESS, ("cat", "dog"))
        jax.tree.map(np.testing.assert_array_equal, loaded.variables, recipe.variables(MODEL))
    assert not any(map(is_checkpoint, (run.parent, run / "missing", run / "checkpoints" / "0" / "checksums.json")))


def test_a_run_loads_with_a_new_head_and_in_another_type(run):
    loaded = load_pretrained(run, model="cifar_resnet8", num_classes=5, dtype="bfloat16")
    assert loaded.model == MODEL.clone(num_classes=5, dtype="bfloat16") and loaded.classes is None
    head = loaded.variables["params"]["head"]["dense"]
    assert head["kernel"].shape == (64, 5) and head["kernel"].dtype == np.float32
    stems = [variables["params"]["stem"]["conv"]["kernel"] for variables in (loaded.variables, recipe.variables(MODEL))]
    np.testing.assert_array_equal(*stems)
    assert "head" not in load_pretrained(run, num_classes=0).variables["params"]


def test_a_run_of_another_net_is_named(run):
    with pytest.raises(ValueError, match="has a cifar_resnet8, not resnet18: pass model='cifar_resnet8'"):
        load_pretrained(run, model="resnet18")
    with pytest.raises(ValueError, match="other arrays than `model`: params/stem/conv/kernel"):
        load_pretrained(run, model=create_model("cifar_resnet8", num_classes=2, stem="imagenet"))


def test_a_shard_of_any_name_stays_in_the_folder(tmp_path):
    (folder := tmp_path / "hub").mkdir()
    (tmp_path / "outside").write_bytes(b"secret")
    (folder / "shard").symlink_to(tmp_path / "outside")
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "shard"}}')
    with pytest.raises(ValueError, match="^shard leads out of"):
        hub_file(folder)
