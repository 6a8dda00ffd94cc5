"""A run of eight steps, and its records, for tests."""

import dataclasses
import json

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, TrainConfig


def config(workdir, tfds_dir, **changes):
    """Eight steps of 88 digits on eight devices, four steps an epoch: a minute's run in seconds."""
    base = Config(
        workdir=str(workdir),
        model=ModelConfig(name="cifar_resnet8", bn_axis="data"),
        data=DataConfig(data_dir=tfds_dir, train_split="train[:25%]", test_split="test[:50]", batch_size=88),
        optim=OptimConfig(warmup_epochs=0.5),
        train=TrainConfig(epochs=2.0, log_every_steps=3, eval_every_epochs=1.0),
    )
    for name, value in changes.items():
        group, field = name.split("__")
        base = dataclasses.replace(base, **{group: dataclasses.replace(getattr(base, group), **{field: value})})
    return base


def records(folder, split=None):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if split in (None, line["split"])]


def without_clock(lines):
    return [{k: v for k, v in line.items() if k not in ("images_per_second", "data_wait")} for line in lines]
