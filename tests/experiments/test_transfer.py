"""Transfer: the runs that compare its four ways, and their results."""

import json

import numpy as np
import pytest
from experiment_runs import check_figures, experiment, records

from resnet_jax.config import Config
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.data.sources.stored import StoredDataset
from resnet_jax.errors import SetupError
from resnet_jax.experiments import transfer


def test_each_way_and_seed_is_a_run_on_the_new_classes():
    source, runs, new = transfer.plan_runs(Config(workdir="w"), (0, 1), epochs=8.0)
    assert new == tuple("56789") and source.data.classes == tuple("01234") and source.data.per_class is None
    assert len(runs) == len(transfer.WAYS) * 2 and runs["frozen", 1].workdir == "w/frozen_seed1"
    for (way, seed), run in runs.items():
        assert (run.data.classes, run.data.per_class, run.train.seed, run.train.epochs) == (new, 4, seed, 8.0)
        assert run.init.from_ == (None if way == "scratch" else "w/source")
    assert runs["frozen", 0].optim.freeze == transfer.BACKBONE and runs["fine-tuned", 0].optim.freeze is None


def test_three_classes_are_too_few(monkeypatch):
    source = ArraySource(np.zeros((30, 1, 1, 1), np.uint8), np.arange(30) % 3, tuple("abc"), "mine")
    dataset = StoredDataset("mine", {"train": source, "test": source})
    monkeypatch.setattr(transfer, "open_configured_dataset", lambda config: dataset)
    with pytest.raises(SetupError, match="expected 4 classes or more, half of them new, got 3 in mine"):
        transfer.plan_runs(Config(), (0,), epochs=8.0)


@pytest.mark.slow
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
