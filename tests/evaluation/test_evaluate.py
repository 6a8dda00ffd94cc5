import jax
import jax.numpy as jnp
import numpy as np
import pytest
import recipe
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax.data import MemoryLoader
from resnet_jax.distributed.devices import Parallel
from resnet_jax.evaluation.evaluate import checked_results, evaluate
from resnet_jax.metrics.confusion import Confusion
from resnet_jax.tasks import Classification
from resnet_jax.tasks.losses import cross_entropy
from resnet_jax.training import optim
from resnet_jax.training.core import forward_step
from resnet_jax.training.state import TrainState

MODEL = recipe.small("cifar_resnet20", 1, num_classes=7, in_channels=1)
STATE = TrainState.from_variables(recipe.variables(MODEL), optim.sgd(0.1), jax.random.key(0))
IMAGES = np.random.default_rng(0).integers(0, 256, (61, 4, 4, 1), np.uint8)
LABELS = np.random.default_rng(1).integers(0, 7, 61).astype(np.int32)
LOGITS = MODEL.apply(STATE.variables, jnp.asarray(IMAGES / 255, jnp.float32), train=False).logits
TASK = Classification(tuple("abcdefg"))
SETUPS = {}
for devices in (1, 3, 8):
    parallel = Parallel(devices=jax.devices()[:devices])
    step = parallel.map(forward_step(MODEL, TASK.predictions, prepare=lambda x: x.astype(jnp.float32) / 255))
    SETUPS[devices] = (parallel, step, parallel.replicate(STATE))


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(n=st.integers(1, 61), share=st.sampled_from([1, 5]), devices=st.sampled_from(sorted(SETUPS)))
def test_every_image_counts_once(n, share, devices):
    """Also where set size, batch size and number of devices do not divide one another."""
    parallel, step, state = SETUPS[devices]
    source = MemoryLoader(IMAGES[:n], LABELS[:n], tuple("abcdefg"))
    evaluator = TASK.evaluator()
    means = evaluate(step, state, source, evaluator, batch_size=share * devices, parallel=parallel)
    assert set(means) == {"loss", "top1", "top5", "images"}
    confusion = evaluator.confusion
    np.testing.assert_array_equal(confusion.matrix, Confusion(source.classes, LABELS[:n], LOGITS[:n].argmax(-1)).matrix)
    assert confusion.matrix.trace() / n == pytest.approx(means["top1"], abs=1e-12)
    assert means["images"] == n
    order = np.argsort(-LOGITS[:n], axis=-1)
    hits = order == LABELS[:n, None]
    assert means["top1"] == pytest.approx(hits[:, 0].mean(), abs=1e-12)
    assert means["top5"] == pytest.approx(hits[:, :5].any(1).mean(), abs=1e-12)
    assert means["loss"] == pytest.approx(float(cross_entropy(LOGITS[:n], jnp.asarray(LABELS[:n])).mean()), rel=1e-5)


@pytest.mark.parametrize(
    "values, message",
    [
        (None, "expected an evaluator whose result is a dict of numbers, got None"),
        ({"error": np.zeros(2)}, "expected a number for the evaluator's result 'error', got numpy.ndarray"),
        ({"step": 77}, "expected another name for the evaluator's result 'step': it is reserved"),
        ({"ema_error": 1.0}, "expected another name for the evaluator's result 'ema_error': it is reserved"),
        ({"sown": 1.0}, "expected another name for the evaluator's result 'sown': a module of the net sows it"),
    ],
)
def test_what_is_no_result_of_an_evaluator_is_refused(values, message):
    with pytest.raises((TypeError, ValueError), match=message):
        checked_results(values, {"sown": 1.0})
