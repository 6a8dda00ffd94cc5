"""Every file in configs/ loads, builds and traces."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.config import Config, from_dict, load_config, to_dict
from resnet_jax.models import create_model
from resnet_jax.training.plan import make_optimizer, make_schedule, model_overrides
from resnet_jax.training.state import TrainState
from resnet_jax.training.steps import make_train_step

FILES = sorted((Path(__file__).parents[1] / "configs").glob("*.py"))
DATA = {"digits": (1437, 8, 1, 10), "cifar10": (50_000, 32, 3, 10), "imagenet2012": (1_281_167, 224, 3, 1000)}


def test_the_files_of_the_readme_are_here():
    assert {file.stem for file in FILES} >= {"digits_resnet20", "cifar10_resnet20", "imagenet_resnet50"}
    assert load_config(FILES[[f.stem for f in FILES].index("digits_resnet20")]) == Config()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_config_builds_and_its_step_traces(file):
    config = load_config(file)
    assert from_dict(to_dict(config)) == config
    assert f"--config configs/{file.name}" in file.read_text()
    examples, size, channels, classes = DATA[config.data.name]
    batch_size = config.data.batch_size
    per_epoch = examples // batch_size
    steps = round(config.train.epochs * per_epoch)
    schedule = make_schedule(config.optim, batch_size=batch_size, steps_per_epoch=per_epoch, steps=steps)
    rates = np.array([schedule(step) for step in np.linspace(0, steps - 1, 50).astype(int)])
    scale = batch_size / (config.optim.lr_reference_batch or batch_size)
    assert 0.9 < rates.max() / (config.optim.peak_lr * scale) < 1.001
    assert rates[-1] < 0.02 * rates.max()

    overrides = model_overrides(config.model, num_classes=classes, in_channels=channels)
    model, tx = create_model(config.model.name, **overrides), make_optimizer(config.optim, schedule)
    images = jax.ShapeDtypeStruct((8, size, size, channels), jnp.float32)
    batch = {"image": images, "label": jax.ShapeDtypeStruct((8,), jnp.int32)}
    state = jax.eval_shape(lambda: TrainState.create(model, tx, jax.random.key(0), images))
    new, metrics = jax.eval_shape(make_train_step(model, tx, axis_name=None), state, batch)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), new) == jax.tree.map(lambda x: (x.shape, x.dtype), state)
    assert metrics["loss"].shape == ()


def test_cifar10_is_the_papers_recipe():
    config = load_config(next(file for file in FILES if file.stem == "cifar10_resnet20"))
    schedule = make_schedule(config.optim, batch_size=128, steps_per_epoch=390, steps=64_000)
    rates = [float(schedule(i)) for i in (0, 31_999, 32_000, 47_999, 48_000, 63_999)]
    np.testing.assert_allclose(rates, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-5)
    assert round(config.train.epochs * 390) == 64_000
