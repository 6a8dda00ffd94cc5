"""Folders of small images, and the config of a run on them, for tests."""

import numpy as np
from PIL import Image

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig


def write_images(folder, classes=("cat", "dog"), first=0, last=12):
    for label, name in enumerate(classes):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(first, last):
            pixels = np.random.default_rng((label, i)).integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"im{i:03}.png")


def config(path, **options):
    return Config(
        model=ModelConfig(name="cifar_resnet8"),
        data=DataConfig(path=str(path), batch_size=4, **options),
        optim=OptimConfig(warmup_epochs=0.0),
    )


def names(source):
    return {source.examples.name(i).rpartition("/set/")[2] for i in range(len(source.examples))}
