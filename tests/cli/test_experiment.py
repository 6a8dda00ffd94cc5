"""`resnet-jax experiment`, on a few digits."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from resnet_jax.cli.main import main
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.experiments import transfer
from resnet_jax.experiments.runs import net_name

pytestmark = pytest.mark.slow
FEW = (
    "--data.train-split train[:50%] --data.test-split test[:100] --data.batch-size 40 --train.epochs 2 "
    "--optim.warmup-epochs 0 --train.eval-every-epochs 1"
).split()


def experiment(name, folder, tfds_dir, capsys, *options):
    capsys.readouterr()
    main(["experiment", name, "--workdir", str(folder), "--data.data-dir", tfds_dir, *FEW, *options])
    return capsys.readouterr().out


def check_figures(folder, *names):
    for name in names:
        with Image.open(folder / f"{name}.png") as picture:
            assert picture.width == 1280 and len(np.unique(np.asarray(picture.convert("L")))) > 20
        assert "<svg" in (folder / f"{name}.svg").read_text()


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_degradation_trains_once_and_draws_again(tmp_path, tfds_dir, capsys):
    options = "--depths 8 --kinds resnet --seeds 0 1 --train.log-every-steps 2".split()
    output = experiment("degradation", tmp_path, tfds_dir, capsys, *options)
    results = json.loads((tmp_path / "results.json").read_text())
    for run in results["runs"]:
        last = [line for line in records(tmp_path / f"resnet8_seed{run['seed']}") if line["split"] == "train"][-1]
        assert (
            last["step"] == 34 and run["test_error"] == 1 - records(tmp_path / f"resnet8_seed{run['seed']}")[-1]["top1"]
        )
    assert [run["seed"] for run in results["runs"]] == [0, 1] and len(results["responses"]["resnet-8"]) == 6
    assert "residual, 8 " in output and str(tmp_path / "errors.png") in output
    check_figures(tmp_path, "errors", "responses")
    (tmp_path / "errors.png").unlink()
    again = experiment("degradation", tmp_path, tfds_dir, capsys, "--draw-only")
    assert "finished" not in again and (tmp_path / "errors.png").exists()


def test_gradients_are_measured_at_first_and_in_training(tmp_path, tfds_dir, capsys):
    options = "--depths 8 --kinds resnet --train.log-every-steps 1".split()
    output = experiment("gradients", tmp_path, tfds_dir, capsys, *options)
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results["initial"]) == {"fan_out", "fan_in", "lecun", "small", "large"}
    steps = [line for line in records(tmp_path / "resnet8") if line["split"] == "train"]
    mean = np.mean([line["parameter_gradient/stage1_block0"] for line in steps])
    assert results["training"]["resnet"]["8"]["first"] == pytest.approx(mean)
    small, large = (results["initial"][way]["resnet"]["8"]["first"] for way in ("small", "large"))
    assert small > 3 * large > 0  # behind norms, a kernel's gradient falls as the kernel grows
    assert "in training" in output
    check_figures(tmp_path, "first_block", "flow_resnet8")
    main(["plot", str(tmp_path / "resnet8"), "--gradients", "--out", str(tmp_path / "again")])
    check_figures(tmp_path, "again")


def test_transfer_compares_four_ways(tmp_path, tfds_dir, capsys):
    options = "--model.name cifar_resnet8 --seeds 3 --target-epochs 8".split()
    output = experiment("transfer", tmp_path, tfds_dir, capsys, *options)
    results = json.loads((tmp_path / "results.json").read_text())
    assert list(results["test_top1"]) == ["scratch", "frozen", "fine-tuned", "discriminative"]
    assert results["classes"] == list("56789")
    for way, (top1,) in results["test_top1"].items():
        assert records(tmp_path / f"{way}_seed3")[-1]["top1"] == top1
    saved = [json.loads((tmp_path / f"{run}/config.json").read_text())["config"] for run in ("source", "frozen_seed3")]
    assert saved[0]["data"]["classes"] == list("01234") and saved[1]["data"]["per_class"] == 4
    assert saved[1]["data"]["train_split"] == "train[:50%]"
    assert saved[1]["init"]["from_"] == str(tmp_path / "source") and "frozen" in output
    check_figures(tmp_path, "transfer")


def test_a_diverged_run_is_reported_and_the_others_continue(tmp_path, tfds_dir, capsys):
    options = "--depths 8 --kinds resnet --optim.peak-lr 1e30 --data.train-split train[:10%]".split()
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["experiment", "degradation", "--workdir", str(tmp_path), "--data.data-dir", tfds_dir, *FEW, *options])
    out, error = capsys.readouterr()
    assert "diverged: " in out and re.search(r"residual, 8 +diverged\n", out) and "every run in" in error
    assert json.loads((tmp_path / "results.json").read_text())["runs"][0]["train_error"] is None
    with pytest.raises(SystemExit):
        main(["experiment", "gradients", "--workdir", str(tmp_path)])
    assert (
        "results.json holds results of the experiment degradation; choose another --workdir" in capsys.readouterr().err
    )


def test_seeds_use_disjoint_images():
    labels = np.arange(800) % 10
    parts = StoredDataset(
        "mine", {"train": ArraySource(np.zeros((800, 1, 1, 1), np.uint8), labels, tuple("0123456789"), "mine")}
    )
    for split in ("train", "train[:80%]"):
        places = [parts.examples(transfer._slice(split, seed)).places for seed in range(10)]
        assert len(set(np.concatenate(places))) == sum(map(len, places)) == len(parts.examples(split))
    for split in ("train[:50%]", "train+validation"):
        assert transfer._slice(split, 3) == split


def test_mistakes_are_reported_before_training(tmp_path, tfds_dir, capsys):
    for options, message in (
        (("degradation", "--depths", "21"), "expected plain nets of 20, 32, 44, 56, 110 layers, got 21"),
        (("transfer", "--depths", "20"), "--depths is not for transfer; --model.name names its net"),
        (("gradients", "--train.seed", "2"), "--train.seed is not for gradients; use --seeds"),
        (("gradients", "--train.steps", "2"), "--train.steps is not for gradients; use --train.epochs"),
        (
            ("gradients", "--model.name", "resnet18"),
            "--model.name is not for gradients; --kinds and --depths name its nets",
        ),
        (("transfer", "--data.per-class", "400"), "class '5': expected 400 of its images"),
        (("gradients", "--draw-only"), "run the experiment first, without --draw-only"),
        (("transfer", "--data.name", "digit"), "TFDS has no dataset 'digit'; did you mean "),
        (("transfer", "--optim.freeze", "stem"), "--optim.freeze is not for transfer; one of its ways freezes"),
    ):
        with pytest.raises(SystemExit) as exit:
            experiment(options[0], tmp_path / "new", tfds_dir, capsys, *options[1:])
        assert exit.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    assert net_name("highway", 32) == "cifar_highway32"
