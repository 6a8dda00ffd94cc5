"""`resnet-jax experiment` on a few digits, for tests."""

import json

import numpy as np
from PIL import Image

from resnet_jax.cli.main import main

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
