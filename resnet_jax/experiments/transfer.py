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
from resnet_jax.data import default_splits, open_dataset
from resnet_jax.experiments.runs import run_all
from resnet_jax.training.integrity import replace_file
from resnet_jax.training.loop import SetupError

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

    Of each they are `data.per_class` (4, where that is not set), others for each seed (up to ten seeds, of a whole
    split), and `epochs` are made with them.

    "scratch" starts from drawn weights, the others from those of the first run: "frozen" trains the classifier alone,
    "fine-tuned" everything, "discriminative" everything, the backbone at a tenth of the rate. The runs are `config`'s,
    in folders of its workdir: "source", "frozen_seed0", ... Returns results.json there: test top-1 by way and seed.

    Raises:
      SetupError: something asked for cannot be; nothing has been trained.
    """
    dataset = open_dataset(config.data.name, path=config.data.path, data_dir=config.data.data_dir)
    train, test = default_splits(dataset, config.data.train_split, config.data.test_split)
    classes = config.data.class_names or dataset.examples(train).classes
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
            data=few if "[" in train else replace(few, train_split=f"{train}[{seed % 10 * 10}%:]"),
            optim=replace(config.optim, **own),
            train=replace(config.train, seed=seed, epochs=epochs, eval_every_epochs=epochs / 4),
        )
        for way, own in WAYS.items()
        for seed in seeds
    }
    run_all([source, *runs.values()])
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for (way, _), own in runs.items():
        found[way].append(float(read_curves([own.workdir])[0].test_top1[-1]))
    results = Path(config.workdir) / "results.json"
    facts = {"classes": list(new), "per_class": per_class, "seeds": list(seeds), "test_top1": found}
    replace_file(results, json.dumps(facts, indent=1) + "\n")
    return results


def table(results: dict[str, Any]) -> str:
    """Test top-1 of each way, one seed after the other, and their mean."""
    lines = [f"{'':16}mean    seeds {' '.join(map(str, results['seeds']))}"]
    for way, values in results["test_top1"].items():
        lines.append(f"{way:16}{sum(values) / len(values):.4f}  {'  '.join(f'{value:.4f}' for value in values)}")
    return "\n".join(lines)


def draw(workdir: str | Path) -> list[Path]:
    """transfer.png (and .svg) from results.json in the experiment's folder."""
    folder = Path(workdir)
    results = json.loads((folder / "results.json").read_text())
    title = f"test top-1 (%), {results['per_class']} images of each of {len(results['classes'])} classes"
    return draw_ways(results["test_top1"], folder / "transfer", y=title)
