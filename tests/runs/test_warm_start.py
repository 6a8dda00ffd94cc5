"""Runs that begin from the weights of others."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict

from resnet_jax import load_checkpoint, save_torch_state
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.cli.train import parse
from resnet_jax.config import Config, DataConfig, InitConfig, ModelConfig, OptimConfig, TrainConfig
from resnet_jax.errors import AmbiguousWeights, SetupError
from resnet_jax.models import create_model
from resnet_jax.runs.directory import find_run_directory
from resnet_jax.runs.plan import make_plan
from resnet_jax.runs.replay import replay
from resnet_jax.runs.trainer import train
from resnet_jax.runs.warm_start import KERNELS, note_default_rate, note_trained_images, warm_start, with_kernels
from resnet_jax.weights import pretrained
from resnet_jax.weights.readers import read_state

FIVE, OTHERS = tuple("01234"), tuple("56789")


def config(workdir, tfds_dir, classes, **changes):
    return Config(
        workdir=str(workdir),
        model=ModelConfig(name="cifar_resnet8"),
        data=DataConfig(data_dir=tfds_dir, classes=classes, per_class=16, batch_size=40, padding=0),
        train=TrainConfig(epochs=4.0, eval_every_epochs=2.0, log_every_steps=2),
        **{"optim": OptimConfig(warmup_epochs=1.0)} | changes,
    )


@pytest.fixture(scope="module")
def begun(tmp_path_factory, tfds_dir):
    """Trained under JAX's strict flags: no implicit transfer to a device, no implicit promotion of dtypes."""
    folder = tmp_path_factory.mktemp("five") / "run"
    with jax.transfer_guard("disallow"), jax.numpy_dtype_promotion("strict"):
        train(config(folder, tfds_dir, FIVE, optim=OptimConfig(warmup_epochs=1.0, ema_decay=0.9)))
    return folder


def leaves(variables):
    return flatten_dict(jax.tree.map(np.asarray, dict(variables)), sep="/")


@pytest.mark.slow
def test_the_backbone_is_taken_and_the_head_is_new(begun, tmp_path, tfds_dir, capsys):
    """What is frozen is the other run's to the bit; images are normalised as there; the run can be gone on with and
    replayed when the other one is gone.
    """
    other = shutil.copytree(begun, tmp_path / "other")
    frozen = OptimConfig(warmup_epochs=0.0, freeze="stem|stage")
    probe = config(tmp_path / "probe", tfds_dir, OTHERS, optim=frozen, init=InitConfig(from_=str(other)))
    train(probe)
    out = capsys.readouterr().out
    assert f"weights of {other} (cifar_resnet8, step 8, 5 classes; images of mean 0." in out and "; a new class" in out
    source, found = load_checkpoint(begun), load_checkpoint(tmp_path / "probe")
    assert found.preprocess == source.preprocess
    old, new = leaves(source.variables), leaves(found.variables)
    for path in old:
        same = old[path].tobytes() == new[path].tobytes()
        assert same != path.startswith("params/head"), path
    shutil.rmtree(other)
    shutil.copytree(tmp_path / "probe", tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut/checkpoints/8")
    train(dataclasses.replace(probe, workdir=str(tmp_path / "cut")))
    gone_on = open_checkpoint(tmp_path / "cut")
    jax.tree.map(np.testing.assert_array_equal, gone_on.arrays, open_checkpoint(tmp_path / "probe").arrays)
    assert gone_on.metadata["begun"] == {"from": str(other), "step": 8}
    losses = [json.loads(line) for line in (tmp_path / "probe/metrics.jsonl").read_text().splitlines()]
    kept = replay(tmp_path / "probe", 8), replay(tmp_path / "probe", 7)
    last = next(line for line in losses if line["step"] == 8 and line["split"] == "train")
    assert np.mean([one["loss"] for one in kept]) == pytest.approx(last["loss"], rel=1e-12)


def test_a_run_of_the_same_classes_keeps_its_head(begun):
    model = load_checkpoint(begun).model
    whole = warm_start(begun, model, FIVE)
    assert leaves(whole.variables).keys() == leaves(load_checkpoint(begun).variables).keys()
    averaged = warm_start(begun, model, FIVE, ema=True)
    wanted = load_checkpoint(begun, ema=True).variables
    jax.tree.map(np.testing.assert_array_equal, averaged.variables, wanted)
    for other, head in ((OTHERS, None), (FIVE, "new")):
        assert "head" not in warm_start(begun, model, other, head=head).variables["params"]
    assert "head" in warm_start(begun, model, OTHERS, head="keep").variables["params"]
    turned = warm_start(begun, model, FIVE[::-1]).variables["params"]["head"]["dense"]  # outputs go by their names
    for name, array in whole.variables["params"]["head"]["dense"].items():
        np.testing.assert_array_equal(turned[name], np.asarray(array)[..., ::-1])


def test_a_file_gives_its_backbone(tmp_path):
    model = create_model("resnet18", num_classes=7)
    variables, path = recipe.variables(model), tmp_path / "weights.safetensors"
    save_torch_state(variables, "resnet18", path)
    new = warm_start(path, model.clone(num_classes=3), "abc")
    kept = warm_start(path, model, "abcdefg", head="keep")
    jax.tree.map(np.testing.assert_array_equal, kept.variables, variables)
    del variables["params"]["head"]
    jax.tree.map(np.testing.assert_array_equal, new.variables, variables)
    assert new.preprocess.mean == (0.485, 0.456, 0.406) and "(resnet18, 7 classes; images of mean 0.485" in new.message
    with pytest.raises(ValueError, match="expected a classifier of 3 classes, got one of 7 in .*; --init.head new"):
        warm_start(path, model.clone(num_classes=3), "abc", head="keep")
    said = "^weights.safetensors is a resnet18 with .* and torchvision; choose its net: --model.name resnet18$"
    with pytest.raises(ValueError, match=said):
        warm_start(path, create_model("resnet34", num_classes=3), "abc")


def test_of_raw_and_averaged_weights_in_a_file_it_says_which(tmp_path, monkeypatch):
    model = create_model("resnet18", num_classes=7)
    save_torch_state(recipe.variables(model), "resnet18", path := tmp_path / "weights.safetensors")
    asked = []

    def both(path, ema=None):
        if ema is None:
            raise AmbiguousWeights
        asked.append(ema)
        return read_state(path)

    monkeypatch.setattr(pretrained, "read_state", both)
    for ema in (False, True):
        said = warm_start(path, model, "abcdefg", ema=ema).message
        assert set(asked) == {ema} and ("its raw weights (--init.ema takes the averaged ones)" in said) != ema
        asked.clear()


def test_a_run_its_checkpoints_and_one_step_are_the_same_source(begun, tmp_path, tfds_dir, monkeypatch):
    model, step = load_checkpoint(begun).model, open_checkpoint(begun).step
    for source in (begun, begun / "checkpoints", begun / "checkpoints" / str(step)):
        found = warm_start(source, model, FIVE)
        assert (found.run, found.step, found.metadata["classes"]) == (begun, step, list(FIVE))
        new = parse(["--init.from", str(source), "--workdir", str(tmp_path / "new")])
        assert new.data.classes == FIVE and new.model.name == "cifar_resnet8"
        start = config(tmp_path / "new", tfds_dir, FIVE, init=InitConfig(from_=str(source)))
        assert note_trained_images(found, make_plan(start)) == []
    monkeypatch.chdir(begun / "checkpoints")
    assert find_run_directory(str(step)) == find_run_directory(".") == begun
    assert find_run_directory(tmp_path / "weights.pth") == tmp_path / "weights.pth"


def test_what_does_not_fit_is_told(begun, tmp_path, tfds_dir):
    deeper = create_model("cifar_resnet20", num_classes=5, in_channels=1)
    with pytest.raises(ValueError, match="run is a run of cifar_resnet8; choose its net: --model.name cifar_resnet8$"):
        warm_start(begun, deeper, FIVE)
    coloured = create_model("cifar_resnet8", num_classes=5)
    with pytest.raises(ValueError, match=r"params/stem/conv/kernel: expected \[3, 3, 3, 16\], got \[3, 3, 1, 16\]"):
        warm_start(begun, coloured, FIVE)
    blurred = create_model("cifar_resnet8", num_classes=5, in_channels=1, act=jax.nn.gelu)
    with pytest.raises(ValueError, match=r"\(cifar_resnet8\) are of another model: expected act .*gelu.*, got .*relu"):
        warm_start(begun, blurred, FIVE)
    with pytest.raises(ValueError, match="expected head new or keep, got 'kep'"):
        warm_start(begun, blurred, FIVE, head="kep")
    missing = config(tmp_path / "run", tfds_dir, FIVE, init=InitConfig(from_=str(tmp_path / "none")))
    with pytest.raises(SetupError, match="init.from: nothing at '.*none'; expected a run or a file"):
        train(missing)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("optim", "said"),
    [
        (
            {"freeze": "stage9"},
            "--optim.freeze: 'stage9' matches no parameter; the model's components: stem, ",
        ),
        ({"freeze": "."}, "--optim.freeze: '.' matches every parameter: nothing would be trained"),
        ({"freeze": "("}, "expected a regular expression, got '('"),
        ({"lr_multiplier": ("stem",)}, "expected PATTERN=FACTOR with a factor of at least 0"),
        ({"lr_multiplier": ("hed=2",)}, "--optim.lr-multiplier: 'hed' matches no parameter"),
        ({"layer_decay": 1.5}, "optim.layer_decay: expected a number above 0, at most 1"),
    ],
)
def test_patterns_that_cannot_be_meant_are_told(optim, said, tmp_path, tfds_dir):
    with pytest.raises(SetupError) as caught:
        train(config(tmp_path, tfds_dir, FIVE, optim=OptimConfig(warmup_epochs=1.0, **optim)))
    assert said in str(caught.value)


def test_the_option_is_called_from():
    for arguments in (["--init.from", "runs/a"], ["--init.from=runs/a"], ["--init.from_", "runs/a"]):
        assert parse(arguments).init.from_ == "runs/a"
    rates = parse(["--optim.lr-multiplier", "stem|stage=0.1", "head=1"]).optim.lr_multiplier
    assert rates == ("stem|stage=0.1", "head=1")


@pytest.mark.parametrize("name", KERNELS)
def test_kernels_are_drawn_as_said(name):
    """Of a 3x3 convolution from 16 to 64 channels: 144 in, 576 out."""
    wanted = {"fan_out": 2 / 576, "fan_in": 2 / 144, "lecun": 1 / 144, "small": 1e-4, "large": 1.0}[name]
    kernel = KERNELS[name](jax.random.key(0), (3, 3, 16, 64), np.float32)
    assert kernel.shape == (3, 3, 16, 64) and float(kernel.var()) == pytest.approx(wanted, rel=0.05)
    model = recipe.small("cifar_resnet20", 1, num_classes=10)
    drawn = jax.jit(lambda key: with_kernels(model, name).init(key, np.zeros((1, 8, 8, 3)), train=False))(
        jax.random.key(0)
    )
    own = drawn["params"]["stage3_block0"]["branch"]["conv2"]["kernel"]  # 576 in and out
    assert float(own.var()) == pytest.approx(
        {"fan_out": 2 / 576, "fan_in": 2 / 576, "lecun": 1 / 576, "small": 1e-4, "large": 1.0}[name], rel=0.05
    )


def test_fine_tuning_at_a_high_rate_is_noted():
    assert note_default_rate(OptimConfig()) == [
        "--optim.peak-lr 0.1 is high for weights that are already trained; fine-tuning usually takes 0.001 to 0.02"
    ]
    for config in (OptimConfig(peak_lr=0.01), OptimConfig(optimizer="adamw"), OptimConfig(freeze="stem|stage")):
        assert note_default_rate(config) == []
