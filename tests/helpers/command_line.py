"""Commands as a user types them, and small data for them."""

import numpy as np
import pytest
from PIL import Image

from resnet_jax.cli.main import main

SHORT = (
    "--data.image-size 8 --data.batch-size 16 --train.epochs 4 --optim.warmup-epochs 0 --log.no-tensorboard "
    "--data.eval-batch-size 8 --model.name cifar_resnet8"
).split()


def write_classes(folder, digits, classes, first, last):
    """Digits as PNG files, each enlarged to a size of its own."""
    for label in classes:
        (folder / f"digit{label}").mkdir(parents=True)
        for i in np.flatnonzero(digits.labels == label)[first:last]:
            side = 16 + int(i) % 5
            Image.fromarray(digits.images[i, ..., 0]).resize((side, side + 2)).save(
                folder / f"digit{label}" / f"{i}.png"
            )


def output(capsys, *arguments):
    capsys.readouterr()
    main([str(argument) for argument in arguments])
    return capsys.readouterr().out


def mistake(capsys, *arguments):
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        main([str(argument) for argument in arguments])
    error = capsys.readouterr().err
    assert exit.value.code == 2 and error.startswith("error: ") and error.count("\n") == 1, error
    return error
