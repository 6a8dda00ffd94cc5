"""The programs in examples/ run, and learn something."""

import importlib.util
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from resnet_jax import create_model, save_torch_state

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name, *arguments):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main([str(argument) for argument in arguments])


def test_every_example_is_tested():
    assert {file.stem for file in EXAMPLES.glob("*.py")} == {"training_loop", "segmentation", "transfer"}


@pytest.mark.slow
def test_training_loop(tmp_path):
    assert run("training_loop", "--steps", 100, "--workdir", tmp_path / "run") > 0.8


@pytest.mark.slow
def test_segmentation():
    assert run("segmentation", "--steps", 60) > 0.6


@pytest.mark.slow
def test_transfer(tmp_path):
    rng = np.random.default_rng(0)
    for name, brightness in (("dark", 60), ("light", 180)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(10):
            pixels = np.clip(rng.normal(brightness, 30, (40, 50, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    model = create_model("resnet18")
    variables = jax.jit(lambda key: model.init(key, np.zeros((1, 32, 32, 3), np.float32), train=False))(
        jax.random.key(0)
    )
    save_torch_state(variables, "resnet18", tmp_path / "resnet18.safetensors")
    assert run("transfer", tmp_path / "resnet18.safetensors", tmp_path / "pictures", "--steps", 20) == 1.0
