"""Runs that begin from the weights of others."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import optax
import pytest
import recipe
import web_server
from flax.traverse_util import flatten_dict
from hub_folder import write_hub_folder
from safetensors.numpy import save_file

from resnet_jax import Preprocess, TrainState, load_checkpoint, save_checkpoint, save_torch_state
from resnet_jax.checkpoints.reader import open_checkpoint
from resnet_jax.cli.train import parse
from resnet_jax.config import Config, DataConfig, InitConfig, ModelConfig, OptimConfig, TrainConfig
from resnet_jax.errors import AmbiguousWeights, SetupError
from resnet_jax.files import sha256
from resnet_jax.models import create_model
from resnet_jax.runs.files.config_file import record_config
from resnet_jax.runs.files.directory import find_run_directory
from resnet_jax.runs.planning.plan import make_plan
from resnet_jax.runs.saved.replay import replay
from resnet_jax.runs.starting.warm_start import (
    net_of,
    note_default_rate,
    note_trained_images,
    warm_start,
    weights_origin,
)
from resnet_jax.runs.trainer import train
from resnet_jax.tasks import MultiLabel, Regression
from resnet_jax.weights import pretrained
from resnet_jax.weights.wrappers import unwrap

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
def donor(tmp_path_factory, tfds_dir):
    """Trained under JAX's strict flags: no implicit transfer to a device, no implicit promotion of dtypes."""
    folder = tmp_path_factory.mktemp("five") / "run"
    with jax.transfer_guard("disallow"), jax.numpy_dtype_promotion("strict"):
        train(config(folder, tfds_dir, FIVE, optim=OptimConfig(warmup_epochs=1.0, ema_decay=0.9)))
    return folder


def leaves(variables):
    return flatten_dict(jax.tree.map(np.asarray, dict(variables)), sep="/")


@pytest.mark.slow
def test_a_warm_start_takes_the_backbone_and_initialises_the_head(donor, tmp_path, tfds_dir, capsys):
    """Frozen weights equal the other run's bit for bit, and images are normalised as there. The run resumes and is
    replayed after the other one is deleted.
    """
    other = shutil.copytree(donor, tmp_path / "other")
    frozen = OptimConfig(warmup_epochs=0.0, freeze="stem|stage")
    probe = config(tmp_path / "probe", tfds_dir, OTHERS, optim=frozen, init=InitConfig(from_=str(other)))
    train(probe)
    out = capsys.readouterr().out
    assert f"weights of {other} (cifar_resnet8, step 8, 5 classes; images of mean 0." in out and "; a new class" in out
    source, start_weights = load_checkpoint(donor), load_checkpoint(tmp_path / "probe")
    assert start_weights.preprocess == source.preprocess
    old, new = leaves(source.variables), leaves(start_weights.variables)
    for path in old:
        same = old[path].tobytes() == new[path].tobytes()
        assert same != path.startswith("params/head"), path
    shutil.rmtree(other)
    shutil.copytree(tmp_path / "probe", tmp_path / "cut")
    shutil.rmtree(tmp_path / "cut/checkpoints/8")
    train(dataclasses.replace(probe, workdir=str(tmp_path / "cut")))
    resumed = open_checkpoint(tmp_path / "cut")
    jax.tree.map(np.testing.assert_array_equal, resumed.arrays, open_checkpoint(tmp_path / "probe").arrays)
    assert resumed.metadata["begun"] == {"from": str(other), "step": 8}
    losses = [json.loads(line) for line in (tmp_path / "probe/metrics.jsonl").read_text().splitlines()]
    replayed = replay(tmp_path / "probe", 8), replay(tmp_path / "probe", 7)
    last = next(line for line in losses if line["step"] == 8 and line["split"] == "train")
    assert np.mean([one["loss"] for one in replayed]) == pytest.approx(last["loss"], rel=1e-12)


def test_a_run_of_the_same_classes_keeps_its_head(donor):
    model = load_checkpoint(donor).model
    whole = warm_start(donor, model, FIVE)
    assert leaves(whole.variables).keys() == leaves(load_checkpoint(donor).variables).keys()
    averaged = warm_start(donor, model, FIVE, ema=True)
    expected = load_checkpoint(donor, ema=True).variables
    jax.tree.map(np.testing.assert_array_equal, averaged.variables, expected)
    for other, head in ((OTHERS, None), (FIVE, "new")):
        assert "head" not in warm_start(donor, model, other, head=head).variables["params"]
    assert "head" in warm_start(donor, model, OTHERS, head="keep").variables["params"]
    turned = warm_start(donor, model, FIVE[::-1]).variables["params"]["head"]["dense"]  # outputs go by their names
    for name, array in whole.variables["params"]["head"]["dense"].items():
        np.testing.assert_array_equal(turned[name], np.asarray(array)[..., ::-1])


def test_a_head_is_kept_for_the_same_task_and_brings_the_units_of_its_targets(tmp_path):
    options = {"num_classes": 2, "in_channels": 1}
    model = create_model("cifar_resnet8", **options)
    state = TrainState.create(model, optax.identity(), jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
    source = Regression(targets=("age", "weight"), mean=(40.0, 70.0), deviation=(10.0, 5.0))
    preprocess = Preprocess(image_size=8, resize=8, mean=(0.5,), std=(0.25,))
    save_checkpoint(
        tmp_path,
        state,
        "cifar_resnet8",
        overrides=options,
        preprocess=preprocess,
        classes=source.targets,
        task=source,
    )
    targets = ("weight", "age")
    task = Regression(targets=targets, mean=(60.0, 30.0), deviation=(1.0, 1.0), loss="l1")
    keeping = warm_start(tmp_path, model, targets, task=task)
    assert "head" in keeping.variables["params"]
    assert keeping.task == dataclasses.replace(task, mean=(70.0, 40.0), deviation=(5.0, 10.0))
    new = warm_start(tmp_path, model, targets, task=task, head="new")
    assert "head" not in new.variables["params"] and new.task == task
    assert "head" not in warm_start(tmp_path, model, targets, task=MultiLabel()).variables["params"]
    with pytest.raises(ValueError, match="expected a head of the task 'multilabel', got one of 'regression' in"):
        warm_start(tmp_path, model, targets, task=MultiLabel(), head="keep")


def test_a_file_gives_its_backbone(tmp_path):
    model = create_model("resnet18", num_classes=7)
    variables, path = recipe.variables(model), tmp_path / "weights.safetensors"
    save_torch_state(variables, "resnet18", path)
    new = warm_start(path, model.clone(num_classes=3), "abc")
    whole = warm_start(path, model, "abcdefg", head="keep")
    jax.tree.map(np.testing.assert_array_equal, whole.variables, variables)
    del variables["params"]["head"]
    jax.tree.map(np.testing.assert_array_equal, new.variables, variables)
    assert new.preprocess.mean == (0.485, 0.456, 0.406) and "(resnet18, 7 classes; images of mean 0.485" in new.message
    with pytest.raises(ValueError, match="expected a classifier of 3 classes, got one of 7 in .*; --init.head new"):
        warm_start(path, model.clone(num_classes=3), "abc", head="keep")
    message = "^weights.safetensors is resnet18 .timm, torchvision.; choose its net: --model.name resnet18$"
    with pytest.raises(ValueError, match=message):
        warm_start(path, create_model("resnet34", num_classes=3), "abc")


def test_the_note_names_raw_or_averaged_weights_of_a_file(tmp_path, monkeypatch):
    model = create_model("resnet18", num_classes=7)
    save_torch_state(recipe.variables(model), "resnet18", path := tmp_path / "weights.safetensors")
    asked = []

    def both(file, ema=None, dense=False):
        if ema is None:
            raise AmbiguousWeights
        asked.append(ema)
        return unwrap(file)

    monkeypatch.setattr(pretrained, "unwrap", both)
    for ema in (False, True):
        message = warm_start(path, model, "abcdefg", ema=ema).message
        assert set(asked) == {ema} and ("its raw weights (--init.ema takes the averaged ones)" in message) != ema
        asked.clear()


def test_a_run_its_checkpoints_and_one_step_are_the_same_source(donor, tmp_path, tfds_dir, monkeypatch):
    model, step = load_checkpoint(donor).model, open_checkpoint(donor).step
    for source in (donor, donor / "checkpoints", donor / "checkpoints" / str(step)):
        start_weights = warm_start(source, model, FIVE)
        assert (start_weights.run.directory, start_weights.step) == (donor, step)
        new = parse(["--init.from", str(source), "--workdir", str(tmp_path / "new")])
        assert new.data.classes == FIVE and new.model.name == "cifar_resnet8"
        start = config(tmp_path / "new", tfds_dir, FIVE, init=InitConfig(from_=str(source)))
        assert note_trained_images(start_weights, make_plan(start)) == []
    monkeypatch.chdir(donor / "checkpoints")
    assert find_run_directory(str(step)) == find_run_directory(".") == donor
    assert find_run_directory(tmp_path / "weights.pth") == tmp_path / "weights.pth"


def test_weights_that_do_not_fit_are_errors(donor, tmp_path, tfds_dir):
    deeper = create_model("cifar_resnet20", num_classes=5, in_channels=1)
    with pytest.raises(ValueError, match="run is a run of cifar_resnet8; choose its net: --model.name cifar_resnet8$"):
        warm_start(donor, deeper, FIVE)
    coloured = create_model("cifar_resnet8", num_classes=5)
    with pytest.raises(ValueError, match=r"params/stem/conv/kernel: expected \[3, 3, 3, 16\], got \[3, 3, 1, 16\]"):
        warm_start(donor, coloured, FIVE)
    blurred = create_model("cifar_resnet8", num_classes=5, in_channels=1, act=jax.nn.gelu)
    with pytest.raises(ValueError, match=r"\(cifar_resnet8\) are of another model: expected act .*gelu.*, got .*relu"):
        warm_start(donor, blurred, FIVE)
    with pytest.raises(ValueError, match="expected head new or keep, got 'kep'"):
        warm_start(donor, blurred, FIVE, head="kep")
    missing = config(tmp_path / "run", tfds_dir, FIVE, init=InitConfig(from_=str(tmp_path / "none")))
    with pytest.raises(SetupError, match="init.from: nothing at '.*none'; expected a run or a file"):
        train(missing)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("optim", "message"),
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
def test_patterns_without_effect_are_errors(optim, message, tmp_path, tfds_dir):
    with pytest.raises(SetupError) as caught:
        train(config(tmp_path, tfds_dir, FIVE, optim=OptimConfig(warmup_epochs=1.0, **optim)))
    assert message in str(caught.value)


def test_the_option_is_called_from():
    for arguments in (["--init.from", "runs/a"], ["--init.from=runs/a"], ["--init.from_", "runs/a"]):
        assert parse(arguments).init.from_ == "runs/a"
    rates = parse(["--optim.lr-multiplier", "stem|stage=0.1", "head=1"]).optim.lr_multiplier
    assert rates == ("stem|stage=0.1", "head=1")


def test_fine_tuning_at_a_high_rate_is_noted():
    assert note_default_rate(OptimConfig()) == [
        "--optim.peak-lr 0.1 is high for weights that are already trained; fine-tuning usually takes 0.001 to 0.02"
    ]
    for config in (OptimConfig(peak_lr=0.01), OptimConfig(optimizer="adamw"), OptimConfig(freeze="stem|stage")):
        assert note_default_rate(config) == []


def test_weights_bring_their_net_and_the_command_resumes_without_them(tmp_path, capsys):
    """`--model.name` is not repeated, and the files' checksums are known; tests/test_weights_job.py trains."""
    write_hub_folder(tmp_path / "hub")
    line = f"--workdir {tmp_path}/run --init.from {tmp_path}/hub".split()
    started = parse(line)
    assert started.model.name == "cifar_resnet8"
    assert capsys.readouterr().out == f"taken from {tmp_path}/hub: --model.name 'cifar_resnet8'\n"
    start = warm_start(tmp_path / "hub", create_model("cifar_resnet8", num_classes=2), "ab")
    assert start.origin == {"files": {"model.safetensors": sha256(tmp_path / "hub/model.safetensors")}}
    (tmp_path / "run").mkdir()
    record_config(tmp_path / "run", started, 0)
    shutil.rmtree(tmp_path / "hub")
    assert parse(line) == started


def test_the_query_of_an_address_is_not_recorded(tmp_path, monkeypatch, capsys):
    write_hub_folder(tmp_path / "hub")
    monkeypatch.setenv("RESNET_JAX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with web_server.serve() as site:
        body = (tmp_path / "hub/model.safetensors").read_bytes()
        site.pages["/cifar_resnet8.safetensors"] = web_server.Page(body)
        address = f"{site.address}/cifar_resnet8.safetensors"
        started = parse(line := ["--workdir", f"{tmp_path}/run", "--init.from", f"{address}?key=secret"])
        start = warm_start(f"{address}?key=secret", create_model("cifar_resnet8", num_classes=2), "ab")
    assert started.model.name == "cifar_resnet8" and f"weights of {address}?... (cifar_resnet8" in start.message
    (tmp_path / "run").mkdir()
    record_config(tmp_path / "run", started, 0)
    assert json.loads((tmp_path / "run/config.json").read_text())["config"]["init"]["from_"] == f"{address}?..."
    shutil.rmtree(tmp_path / "cache")
    assert parse(line) == started and "secret" not in str(start.origin) + "".join(capsys.readouterr())


def test_a_configs_net_gives_way_to_that_of_the_weights_and_a_typed_one_is_an_error(tmp_path, capsys):
    write_hub_folder(tmp_path / "hub", model="resnet18", layout="timm")
    (tmp_path / "mine.py").write_text(
        "from resnet_jax.config import *\nconfig = Config(model=ModelConfig(name='resnet34', drop_rate=0.5))"
    )
    config = parse(["--config", str(tmp_path / "mine.py"), "--init.from", str(tmp_path / "hub")])
    assert config.model == ModelConfig(name="resnet18", drop_rate=0.5) and config.workdir == "runs/digits_resnet18"
    typed = parse(["--model.name", "resnet34", "--init.from", str(tmp_path / "hub")])
    assert typed.model.name == "resnet34"
    with pytest.raises(ValueError, match="model.safetensors is .*; choose its net: --model.name resnet18$"):
        warm_start(tmp_path / "hub", create_model("resnet34", num_classes=3), "abc")


def test_a_kept_classifier_follows_the_names_of_the_weights(tmp_path):
    variables = write_hub_folder(tmp_path / "hub", ("cat", "dog", "owl"))
    model = create_model("cifar_resnet8", num_classes=3)
    turned = warm_start(tmp_path / "hub", model, ("owl", "cat", "dog"), head="keep").variables
    for name, array in variables["params"]["head"]["dense"].items():
        np.testing.assert_array_equal(turned["params"]["head"]["dense"][name], array[..., [2, 0, 1]])
    folded = warm_start(tmp_path / "hub", model, ("OWL", "Cat", "dog"), head="keep").variables
    jax.tree.map(np.testing.assert_array_equal, folded, turned)
    with pytest.warns(UserWarning, match="the kept outputs of .* stay in their order, as its classes have other names"):
        warm_start(tmp_path / "hub", model, ("apple", "bee", "cow"), head="keep")


def test_weights_of_coloured_images_start_a_run_on_grey_ones(tmp_path):
    """The kernels of the three channels are added, as timm does it, and the normalisation is their mean."""
    variables = write_hub_folder(tmp_path / "hub")
    start = warm_start(tmp_path / "hub", create_model("cifar_resnet8", num_classes=2, in_channels=1), "ab")
    kernel, coloured = (x["params"]["stem"]["conv"]["kernel"] for x in (start.variables, variables))
    np.testing.assert_allclose(kernel, coloured.sum(2, keepdims=True), rtol=1e-6)
    assert start.preprocess.mean == (0.5,)
    assert start.notes == ("the net takes 1 channels, the file's 3: the kernels of its channels are added",)


def test_the_files_and_the_revision_of_weights_are_recorded(tmp_path):
    """Of weights in several files in the hub's cache."""
    folder = tmp_path / "models--me--mine" / "snapshots" / "c0ffee"
    write_hub_folder(folder)
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    names = json.dumps({"weight_map": dict.fromkeys(["x", "y"], "a.safetensors")})
    (folder / "model.safetensors.index.json").write_text(names)
    files = ("model.safetensors.index.json", "a.safetensors")
    assert weights_origin(folder) == {"files": {name: sha256(folder / name) for name in files}, "revision": "c0ffee"}


def test_a_net_is_that_of_the_raw_weights_where_a_file_has_averaged_ones_too(tmp_path):
    model = create_model("cifar_resnet8", num_classes=3)
    arrays = flatten_dict(recipe.variables(model), sep="/")
    both = {f"{key}.{name}": np.ascontiguousarray(x) for key in ("model", "model_ema") for name, x in arrays.items()}
    save_file(both, tmp_path / "cifar_resnet8.safetensors")
    assert net_of(tmp_path / "cifar_resnet8.safetensors") == "cifar_resnet8"
    assert net_of(tmp_path / "cifar_resnet8.safetensors", ema=True) == "cifar_resnet8"
