"""The task detection: terms of the objective, and detections without a class."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from resnet_jax.distributed.devices import Parallel
from resnet_jax.metrics.typed import results
from resnet_jax.models.decoders.detector import Detections, DetectorLosses, Loss
from resnet_jax.tasks import Term
from resnet_jax.tasks.detection import Detection
from resnet_jax.training.state import TrainState
from resnet_jax.training.step import make_step

TASK = Detection(classes=("cat", "dog"))
ONE, EIGHT = jax.devices()[:1], jax.devices()


class Weighted(nn.Module):
    """w times the sum of the images, and as many matches as the labels say."""

    @nn.compact
    def __call__(self, images, train, example_index=None, label=None):
        total = self.param("w", nn.initializers.ones, ()) * images.sum()
        background = Loss(total, label.sum().astype(total.dtype), 1.0)
        return DetectorLosses({"class": background, "box": background._replace(total=2 * total)})

    @nn.nowrap
    def batch_inputs(self, batch, train):
        return {"label": batch["label"]}


def step_of(objective, parallel, **options):
    """A function of labels: the gradient by w, whose image adds up to 36, and the metrics of one step."""
    model, tx = Weighted(), optax.sgd(1.0)
    state = TrainState.from_variables({"params": {"w": jnp.ones(())}}, tx, jax.random.key(0))
    step, state = parallel.map(make_step(model, tx, objective, **options)), parallel.replicate(state)

    def run(labels):
        images = np.arange(1.0, 9).reshape(8, 1, 1, 1)
        new, metrics = step(state, parallel.shard({"image": images, "label": np.asarray(labels)}))
        return 1 - float(new.params["w"]), results(metrics)

    return run


@pytest.mark.parametrize(
    "mode, devices, options",
    [("pmap", ONE, {}), ("pmap", EIGHT, {}), ("shard_map", EIGHT, {}), ("pmap", EIGHT, {"gradient_flow": True})],
)
def test_a_loss_is_divided_by_its_weight_in_the_global_batch_and_at_least_by_one(x64, mode, devices, options):
    """Without a match the loss of the background stays; devices without one count nothing."""
    run = step_of(TASK.objective, Parallel(mode, devices), **options)
    for labels, divisor in (([0] * 8, 1), ([0, 0, 0, 1, 0, 0, 0, 0], 1), ([2, 0, 0, 0, 0, 0, 0, 3], 5)):
        gradient, metrics = run(labels)
        assert gradient == pytest.approx(3 * 36 / divisor, rel=1e-12)
        assert metrics["class"] == pytest.approx(36 / divisor) and metrics["loss"] == pytest.approx(3 * 36 / divisor)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_terms_of_one_weight_may_have_other_least_weights(x64, accumulate):
    def objective(outputs, batch, axis_name):
        loss = outputs.losses["class"]
        return {name: Term(loss.total, loss.weight, least) for name, least in (("a", 0.0), ("b", 4.0), ("c", 0.0))}, {}

    gradient, metrics = step_of(objective, Parallel("pmap", ONE), accumulate=accumulate)([0, 2, 0, 0, 0, 0, 0, 0])
    assert gradient == pytest.approx(36 / 2 + 36 / 4 + 36 / 2)
    assert (metrics["a"], metrics["b"], metrics["c"]) == pytest.approx((18, 9, 18))


def test_a_detection_of_the_background_is_none():
    """RetinaNet and FCOS have a logit for label 0, which is no class of the data."""
    labels, valid = jnp.array([[2, 0, 1, 0]]), jnp.array([[True, True, True, False]])
    outputs = Detections(jnp.zeros((1, 4, 4)), jnp.array([[0.9, 0.8, 0.7, 0]]), labels, None, valid)
    row = {name: np.asarray(x[0]) for name, x in TASK.predictions(outputs).items()}
    row |= {"size": np.array([8, 8]), "original_size": np.array([8, 8])}
    assert TASK.format(row, 5) == "2 objects: dog 0.90, cat 0.70"
    assert [one["category_id"] for one in TASK.results(row, "a.jpg")] == [2, 1]
