"""A folder of images, and a run that is trained on it once."""

import numpy as np
import pytest
import recipe
from command_line import write_classes
from hub_folder import write_hub_folder
from PIL import Image

from resnet_jax import create_model
from resnet_jax.cli.main import main
from resnet_jax.types import Preprocess, Pretrained
from resnet_jax.weights.writers import write_weights


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


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    """A cifar_resnet8 of the classes cat, dog and owl, in the hub's layout."""
    folder = tmp_path_factory.mktemp("weights") / "animals"
    write_hub_folder(folder)
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Two images each of an owl and a dog, in folders with other spellings of the classes' names."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("Dog", "owl"):
        (folder / name).mkdir()
        for i in range(2):
            Image.fromarray(rng.integers(0, 255, (40 + i, 48, 3), np.uint8)).save(folder / name / f"{name}{i}.png")
    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """A small CLIP with the published vocabulary, in a file of this package."""
    net = create_model(
        "clip_resnet50", image_tower="cifar_resnet8", embed_dim=8, text_width=16, text_heads=2, text_layers=1
    )
    size = {"preprocess": Preprocess(32, 32, (0.5,) * 3, (0.25,) * 3)}
    path = tmp_path_factory.mktemp("weights") / "pairs.npz"
    return write_weights(Pretrained(net, recipe.variables(net), name="clip_resnet50", **size), path, "npz")
