"""A folder of images, and a run that is trained on it once."""

import pytest
from command_line import write_classes

from resnet_jax.cli.main import main


@pytest.fixture(scope="session")
def pictures(tmp_path_factory, digits):
    folder = tmp_path_factory.mktemp("pictures")
    write_classes(folder / "train", digits, (0, 1, 7), 0, 30)
    write_classes(folder / "val", digits, (0, 1, 7), 30, 36)
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory, pictures):
    folder = tmp_path_factory.mktemp("runs") / "mine"
    main(
        f"train --workdir {folder} --data.path {pictures} --data.image-size 16 --data.batch-size 64 --data.padding 0 "
        "--data.crop-area 0.8 1.0 --data.mixup 0.2 --optim.warmup-epochs 1 --train.epochs 12 "
        "--train.eval-every-epochs 6 --train.log-every-steps 2 --model.bn-axis data --model.name cifar_resnet8".split()
    )
    return folder
