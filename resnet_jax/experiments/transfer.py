"""Transfer: what weights learned on some classes are worth for others of which there are few images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from resnet_jax.analysis.curves import read_curves
from resnet_jax.analysis.plots import draw_ways
from resnet_jax.config import Config, InitConfig
from resnet_jax.data import default_splits, rename_classes
from resnet_jax.errors import SetupError
from resnet_jax.experiments.runs import run_all
from resnet_jax.files import replace_file
from resnet_jax.runs.plan import open_dataset

PER_CLASS, EPOCHS = 4, 60.0
BACKBONE = "^(?!head/dense)"  # all but the classifier
WAYS: dict[str, dict[str, Any]] = {  # fields of OptimConfig
    "scratch": {},
    "frozen": {"freeze": BACKBONE},  # a linear probe
    "fine-tuned": {},
    "discriminative": {"lr_multiplier": (f"{BACKBONE}=0.1",)},
}


def transfer(config: Config, seeds: Sequence[int], *, epochs: float = EPOCHS) -> Path:
    """Trains on the first half of the data's classes, then on few images of each of the others, in four ways.

    Of each they are `data.per_class` (4, where that is not set), and `epochs` are made with them. Each of ten seeds in
    succession has images of its own, a tenth of the split; of a part of one that was asked for, all have the same.

    "scratch" starts from drawn weights, the others from those of the first run: "frozen" trains the classifier alone,
    "fine-tuned" everything, "discriminative" everything, the backbone at a tenth of the rate. The runs are `config`'s,
    in folders of its workdir: "source", "frozen_seed0", ... Returns results.json there: test top-1 by way and seed
    (None where it diverged).

    Raises:
      SetupError: something asked for cannot be; nothing has been trained.
    """
    try:
        dataset = open_dataset(config.data)
        # Each seed takes a slice of the training images, so without a test split a slice of them is held out too.
        rule: Any = "position" if config.data.test_split is None else "digest"
        train, test = default_splits(dataset, config.data.train_split, config.data.test_split, rule)
        classes = dataset.examples(train).classes
        if config.data.class_names is not None:
            classes = rename_classes(classes, config.data.class_names)
    except (ValueError, OSError) as error:
        raise SetupError(str(error)) from error
    if len(classes) < 4:
        raise SetupError(f"{dataset.name} has {len(classes)} classes; wanted: 4 or more, half of them to move to")
    known, new = classes[: len(classes) // 2], classes[len(classes) // 2 :]
    data = replace(config.data, train_split=train, test_split=test)
    per_class, devices = config.data.per_class or PER_CLASS, jax.device_count()
    batch_size = max(devices, min(config.data.batch_size, per_class * len(new)) // devices * devices)
    source = replace(
        config, workdir=f"{config.workdir}/source", data=replace(data, classes=tuple(known), per_class=None)
    )
    few = replace(data, classes=tuple(new), per_class=per_class, batch_size=batch_size)
    runs = {
        (way, seed): replace(
            config,
            workdir=f"{config.workdir}/{way}_seed{seed}",
            init=InitConfig() if way == "scratch" else InitConfig(from_=source.workdir),
            data=replace(few, train_split=_part(train, seed)),
            optim=replace(config.optim, **own),
            train=replace(config.train, seed=seed, epochs=epochs, eval_every_epochs=epochs / 4),
        )
        for way, own in WAYS.items()
        for seed in seeds
    }
    diverged = run_all([source, *runs.values()])
    found: dict[str, list[float | None]] = {way: [] for way in WAYS}
    for (way, _), own in runs.items():
        lost = own.workdir in diverged
        found[way].append(None if lost else float(read_curves([own.workdir])[0].test_top1[-1]))
    results = Path(config.workdir) / "results.json"
    facts = {
        "experiment": "transfer",
        "classes": list(new),
        "per_class": per_class,
        "seeds": list(seeds),
        "test_top1": found,
    }
    replace_file(results, json.dumps(facts, indent=1) + "\n")
    return results


def _part(split: str, seed: int) -> str:
    name, _, rest = split.partition("[")
    # Of the whole, or of what is left when a fifth is held out; of several splits together none can be cut.
    share = None if "+" in name else {"": 10, ":80%]": 8}.get(rest)
    return split if share is None else f"{name}[{seed % 10 * share}%:{(seed % 10 + 1) * share}%]"


def table(results: dict[str, Any]) -> str:
    """Test top-1 of each way, one seed after the other, and their mean."""
    lines = [f"{'':16}mean    seeds {' '.join(map(str, results['seeds']))}"]
    for way, values in results["test_top1"].items():
        ended = [value for value in values if value is not None]
        mean = f"{sum(ended) / len(ended):.4f}" if ended else f"{'-':6}"
        lines.append(f"{way:16}{mean}  {'  '.join('-     ' if x is None else f'{x:.4f}' for x in values)}")
    return "\n".join(lines)


def draw(workdir: str | Path) -> list[Path]:
    """transfer.png (and .svg) from results.json in the experiment's folder."""
    folder = Path(workdir)
    results = json.loads((folder / "results.json").read_text())
    title = f"trained on {results['per_class']} images of each of {len(results['classes'])} classes"
    ways = {way: [x for x in values if x is not None] for way, values in results["test_top1"].items()}
    chance = 1 / len(results["classes"])
    return draw_ways(ways, folder / "transfer", y="test top-1", heading=title, chance=chance)
