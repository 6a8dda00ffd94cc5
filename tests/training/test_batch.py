"""Batches as steps use them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from resnet_jax import make_eval_step
from resnet_jax.models import create_model
from resnet_jax.training.batch import complete
from resnet_jax.training.state import TrainState


@pytest.mark.parametrize("kind", ["bool", "int32", "uint8", "float16", "float32"])
def test_a_mask_of_any_type_ignores_examples(kind):
    model, tx = create_model("cifar_resnet8", num_classes=3), optax.sgd(0.1)
    images = jnp.ones((4, 8, 8, 3))
    state = TrainState.create(model, tx, jax.random.key(0), images)
    step = make_eval_step(model, axis_name=None)
    shown = np.array([255, 0, 255, 0] if kind == "uint8" else [1, 0, 1, 0]).astype(kind)
    sums = jax.eval_shape(step, state, {"image": images, "label": jnp.zeros(4, int), "mask": shown})
    assert sums["count"].shape == ()
    assert complete({"image": images, "label": jnp.zeros(4, int), "mask": shown}, None)["mask"].tolist() == [1, 0, 1, 0]


def test_an_invalid_batch_is_named():
    batch = {"image": jnp.ones((2, 8, 8, 3)), "label": jnp.zeros(2, int)}
    for wrong, message in (
        ({"mask": None}, "expected a mask .an array., got None"),
        ({"mask": np.ones(2, complex)}, "expected a mask of bool, int or float, got complex"),
        ({"label": [0, 1]}, "expected labels .an array., got list"),
    ):
        with pytest.raises(TypeError, match=message):
            complete(batch | wrong, None)
    with pytest.raises(ValueError, match="expected a batch with image and label, got one without label"):
        complete({"image": batch["image"]}, None)
