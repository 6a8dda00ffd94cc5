"""A batch in parts: one update, and statistics that move once for each part."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from jax.sharding import NamedSharding, PartitionSpec
from small_steps import MODEL, TX, batch, close, fresh

from resnet_jax import Preprocess, make_train_step
from resnet_jax.data.augment.device import make_augment
from resnet_jax.training.state import TrainState


@pytest.mark.slow
def test_accumulation_with_frozen_norms_equals_one_batch(x64):
    model = MODEL.clone(frozen_norms=("all",), drop_path=0.5)
    states = [jax.jit(make_train_step(model, TX, axis_name=None, accumulate=k))(fresh(model), batch(8)) for k in (1, 4)]
    close(states[0], states[1])


def test_accumulation_moves_running_statistics_once_for_each_part(x64):
    state, _ = jax.jit(make_train_step(MODEL, TX, axis_name=None, accumulate=2))(fresh(), batch(8))
    stats, whole = fresh().batch_stats, batch(8)
    apply = jax.jit(partial(MODEL.apply, train=True, mutable=["batch_stats"]))
    for part in (slice(0, 4), slice(4, 8)):
        variables = {"params": fresh().params, "batch_stats": stats}
        images = jnp.asarray(whole["image"][part])
        _, updated = apply(variables, images)
        stats = updated["batch_stats"]
    close(state.batch_stats, stats)


def test_microbatches_that_do_not_divide_the_shard_are_refused(x64):
    with pytest.raises(ValueError, match="accumulate=3 does not divide the 8 examples of a shard"):
        jax.eval_shape(make_train_step(MODEL, TX, axis_name=None, accumulate=3), fresh(), batch(8))


def test_microbatches_and_pairs_that_a_mesh_does_not_divide_are_traced():
    """Explicit axes: four devices, microbatches of two images, and pairs of one image per device."""
    model = recipe.small("cifar_resnet8", 1, stages=1, num_classes=8)
    mesh = jax.make_mesh((4,), ("data",), devices=jax.devices()[:4])
    for n, accumulate, mixup in ((8, 4, 0.0), (4, 1, 0.2)):
        augment = make_augment(Preprocess(8, 8, (0.5,) * 3, (0.5,) * 3), mixup=mixup, num_classes=8)
        train = make_train_step(model, TX, axis_name=None, augment=augment, accumulate=accumulate)
        state = TrainState.create(model, TX, jax.random.key(0), np.zeros((1, 8, 8, 3), np.uint8))
        batch = {"image": np.zeros((n, 8, 8, 3), np.uint8), "label": np.arange(n)}
        state = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))
        batch = jax.device_put(batch, NamedSharding(mesh, PartitionSpec("data")))
        assert jax.jit(train).trace(state, batch).out_info[1]["count"].shape == ()
