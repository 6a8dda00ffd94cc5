"""The composed training step: all options together, on meshes and under strict promotion."""

from functools import partial

import jax
import numpy as np
import pytest
import recipe
from jax.sharding import NamedSharding, PartitionSpec
from small_steps import MODEL, TX

from resnet_jax import Preprocess, make_eval_step, make_train_step
from resnet_jax.data.augment.device import make_augment
from resnet_jax.tasks import Classification
from resnet_jax.training import optim
from resnet_jax.training.core import forward_step
from resnet_jax.training.state import TrainState


@pytest.mark.slow
def test_a_step_on_a_mesh_with_explicit_axes_equals_one_device(x64):
    """Sharded batch and parameters, accumulation, averages, frozen parameters, gradient flow, augmentation."""
    options = {"dtype": "float64", "param_dtype": "float64", "drop_rate": 0.2, "drop_path": 0.2}
    model = recipe.small("cifar_resnet8", 1, stages=2, num_classes=8, **options)
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.integers(0, 256, (16, 8, 8, 3), np.uint8),
        "label": np.arange(16) % 8,
        "mask": np.arange(16) < 14,
    }
    augment = make_augment(
        Preprocess(8, 8, (0.5,) * 3, (0.5,) * 3),
        padding=1,
        horizontal_flip=True,
        cutout=2,
        mixup=0.2,
        num_classes=8,
    )
    tx = optim.sgd(optim.warmup_cosine(peak_lr=0.01, steps=20, warmup_steps=0), weight_decay=1e-4)
    options = {"augment": augment, "accumulate": 2, "ema_decay": 0.9, "skip_nonfinite": True, "gradient_flow": True}
    train = make_train_step(model, tx, axis_name=None, frozen=lambda path: path.startswith("stem"), **options)
    evaluate = make_eval_step(model, axis_name=None, prepare=lambda x: x / 255 - 0.5)
    state = TrainState.create(model, tx, jax.random.key(0), np.zeros((1, 8, 8, 3)), ema=True)

    @jax.jit
    def run(state, batch):
        state, sums = train(*train(state, batch)[:1], batch)
        return state, sums, evaluate(state, batch)

    mesh = jax.make_mesh((4,), ("data",), devices=jax.devices()[:4])

    def put(x):
        return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*[None] * (np.ndim(x) - 1), "data")))

    sharded = jax.tree.map(lambda x: put(x) if x.ndim > 1 and x.shape[-1] % 4 == 0 else x, state)
    got = run(
        sharded, {name: jax.device_put(x, NamedSharding(mesh, PartitionSpec("data"))) for name, x in batch.items()}
    )
    reference = run(state, batch)
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-9), jax.device_get(got), jax.device_get(reference)
    )


def test_an_axis_other_than_the_nets_is_refused():
    with pytest.raises(ValueError, match="expected a net with bn_axis None .*, got 'data'"):
        make_train_step(MODEL.clone(bn_axis="data"), TX, axis_name=None)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_steps_survive_strict_promotion_of_dtypes(strict_dtypes, dtype):
    """With SkipNet's metrics, averages, microbatches, mixed labels and Optax's AdamW."""
    prepare = Preprocess(8, 8, (0.5,) * 3, (0.2,) * 3)
    augment = make_augment(prepare, padding=1, horizontal_flip=True, color_jitter=(0.1,) * 4, mixup=0.2, num_classes=7)
    model = recipe.small("cifar_skipnet38", 1, 2, num_classes=7, dtype=dtype, drop_path=0.1)
    tx = optim.with_rates(optim.adamw(optim.warmup_cosine(peak_lr=0.1, steps=9)), optim.rate_factors)
    batch = {"image": np.zeros((4, 8, 8, 3), np.uint8), "label": np.zeros(4, np.int32), "mask": np.ones(4, bool)}
    state = jax.eval_shape(lambda k: TrainState.create(model, tx, k, batch["image"], ema=True), jax.random.key(0))
    options = {"ema_decay": 0.9, "skip_nonfinite": True, "accumulate": 2, "gate_penalty": 0.1, "gradient_flow": True}
    jax.eval_shape(make_train_step(model, tx, axis_name=None, augment=augment, **options), state, batch)
    jax.eval_shape(make_eval_step(model, axis_name=None, prepare=prepare), state, batch)
    predictions = Classification().predictions
    jax.eval_shape(forward_step(model, predictions, axis_name=None, prepare=prepare), state, batch)


def test_the_step_of_classification_has_its_old_place():
    import resnet_jax.steps
    from resnet_jax.training import step

    with pytest.warns(DeprecationWarning, match="make_train_step is now resnet_jax.steps.make_train_step"):
        assert step.make_train_step is resnet_jax.steps.make_train_step is resnet_jax.make_train_step
