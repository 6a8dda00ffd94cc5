"""Transfer: from weights trained on some classes to other classes with few images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from resnet_jax.analysis.curves import read_curves
from resnet_jax.analysis.plots import draw_ways
from resnet_jax.config import Config, DataConfig, InitConfig
from resnet_jax.data import default_splits, rename_classes
from resnet_jax.errors import SetupError
from resnet_jax.experiments.runs import run_all
from resnet_jax.files import replace_file
from resnet_jax.runs.planning.datasets import open_configured_dataset

PER_CLASS, EPOCHS = 4, 60.0
BACKBONE = "^(?!head/dense)"  # everything except the classifier
WAYS: dict[str, dict[str, Any]] = {  # fields of OptimConfig
    "scratch": {},
    "frozen": {"freeze": BACKBONE},  # a linear probe
    "fine-tuned": {},
    "discriminative": {"lr_multiplier": (f"{BACKBONE}=0.1",)},
}


def transfer(config: Config, seeds: Sequence[int], *, epochs: float = EPOCHS) -> Path:
    """Trains on half of the classes, then in four ways on few images of the others; returns the path of results.json.

    The first run, "source", learns the first half of the classes. The others start as follows: "scratch" from initial
    weights, "frozen" trains a new classifier only, "fine-tuned" trains everything, "discriminative" trains the backbone
    at a tenth of the rate. Each run uses `config` with a directory of its own in the workdir: "frozen_seed0", ...
    results.json has the test top-1 by way and seed (None for a diverged run).

    The second half has `data.per_class` images per class (default 4) and trains for `epochs`. Ten successive seeds use
    disjoint tenths of the training split; if `data.train_split` is a part of a split, all seeds use that part.

    Raises:
      SetupError: the settings are invalid. Nothing has been trained.
    """
    source, runs, new = plan_runs(config, seeds, epochs)
    diverged = run_all([source, *runs.values()])
    test_top1: dict[str, list[float | None]] = {way: [] for way in WAYS}
    for (way, _), run in runs.items():
        has_diverged = run.workdir in diverged
        test_top1[way].append(None if has_diverged else float(read_curves([run.workdir])[0].test_top1[-1]))
    results = Path(config.workdir) / "results.json"
    record = {
        "experiment": "transfer",
        "classes": list(new),
        "per_class": config.data.per_class or PER_CLASS,
        "seeds": list(seeds),
        "test_top1": test_top1,
    }
    replace_file(results, json.dumps(record, indent=1) + "\n")
    return results


def plan_runs(
    config: Config, seeds: Sequence[int], epochs: float
) -> tuple[Config, dict[tuple[str, int], Config], tuple[str, ...]]:
    """The config of the first run, those of the others by way and seed, and the classes that these learn."""
    train, test, classes = _splits_and_classes(config.data)
    known, new = classes[: len(classes) // 2], classes[len(classes) // 2 :]
    data = replace(config.data, train_split=train, test_split=test)
    per_class, devices = config.data.per_class or PER_CLASS, jax.device_count()
    batch_size = max(devices, min(config.data.batch_size, per_class * len(new)) // devices * devices)
    source = replace(config, workdir=f"{config.workdir}/source", data=replace(data, classes=known, per_class=None))
    few = replace(data, classes=new, per_class=per_class, batch_size=batch_size)
    runs = {
        (way, seed): replace(
            config,
            workdir=f"{config.workdir}/{way}_seed{seed}",
            init=InitConfig() if way == "scratch" else InitConfig(from_=source.workdir),
            data=replace(few, train_split=_slice(train, seed)),
            optim=replace(config.optim, **changes),
            train=replace(config.train, seed=seed, epochs=epochs, eval_every_epochs=epochs / 4),
        )
        for way, changes in WAYS.items()
        for seed in seeds
    }
    return source, runs, new


def _splits_and_classes(config: DataConfig) -> tuple[str, str, tuple[str, ...]]:
    """The training and the test split, and the names of the classes.

    Raises:
      SetupError: the data cannot be opened, or has fewer than four classes.
    """
    try:
        dataset = open_configured_dataset(config)
        # Each seed takes a slice of the training images by position, so the test images must be a slice too.
        rule: Any = "position" if config.test_split is None else "digest"
        train, test = default_splits(dataset, config.train_split, config.test_split, rule)
        classes = tuple(dataset.examples(train).classes)
        if config.class_names is not None:
            classes = tuple(rename_classes(classes, config.class_names))
    except (ValueError, OSError) as error:
        raise SetupError(str(error)) from error
    if len(classes) < 4:
        raise SetupError(f"expected 4 classes or more, half of them new, got {len(classes)} in {dataset.name}")
    return train, test, classes


def _slice(split: str, seed: int) -> str:
    """The tenth of a split that a seed trains on; the split itself if it cannot be cut."""
    name, _, rest = split.partition("[")
    # 8 % each where a fifth is held out. Several splits joined by + cannot be cut.
    share = None if "+" in name else {"": 10, ":80%]": 8}.get(rest)
    return split if share is None else f"{name}[{seed % 10 * share}%:{(seed % 10 + 1) * share}%]"


def table(results: dict[str, Any]) -> str:
    """Test top-1 by way: mean, and one column per seed."""
    lines = [f"{'':16}mean    seeds {' '.join(map(str, results['seeds']))}"]
    for way, values in results["test_top1"].items():
        finite = [value for value in values if value is not None]
        mean = f"{sum(finite) / len(finite):.4f}" if finite else f"{'-':6}"
        lines.append(f"{way:16}{mean}  {'  '.join('-     ' if x is None else f'{x:.4f}' for x in values)}")
    return "\n".join(lines)


def draw(workdir: str | Path) -> list[Path]:
    """Draws transfer (.png, .svg) from results.json in the workdir of the experiment; returns the paths."""
    folder = Path(workdir)
    results = json.loads((folder / "results.json").read_text())
    title = f"trained on {results['per_class']} images of each of {len(results['classes'])} classes"
    ways = {way: [x for x in values if x is not None] for way, values in results["test_top1"].items()}
    chance = 1 / len(results["classes"])
    return draw_ways(ways, folder / "transfer", y="test top-1", heading=title, chance=chance)
