"""Predictions for series of unequal lengths: in the order of the source, each as if it were alone."""

from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.data.sources.array_source import ArraySource
from resnet_jax.distributed.devices import Parallel
from resnet_jax.errors import DataError
from resnet_jax.evaluation.sequence_inputs import SequenceInputs
from resnet_jax.evaluation.sequences import predict_sequences, stacked_rows
from resnet_jax.inputs import SeriesPreprocess
from resnet_jax.models.resnet import Outputs
from resnet_jax.tasks import Classification
from resnet_jax.types import Pretrained

CLASSES = ("low", "middle", "high")


class MeanNet(nn.Module):
    """Logits of three classes from the mean over the positions within each length."""

    num_classes: int = 3

    @nn.compact
    def __call__(self, x, train, example_index=None, lengths=None):
        mask = jnp.ones(x.shape[:2]) if lengths is None else jnp.arange(x.shape[1])[None] < lengths[:, None]
        mask = mask.astype(x.dtype)
        mean = (x[..., 0] * mask).sum(1) / jnp.maximum(mask.sum(1), 1)
        scale = self.param("scale", nn.initializers.ones, (3,))
        return Outputs(mean[:, None] * (jnp.arange(3.0) * scale)[None], {})

    @nn.nowrap
    def batch_inputs(self, batch, train):
        return {"lengths": batch["lengths"]} if "lengths" in batch else {}


def made(lengths, broken=()):
    rng = np.random.default_rng(0)
    series = [rng.standard_normal((length, 1)).astype(np.float32) for length in lengths]
    for index in broken:
        series[index] = series[index] * np.nan
    labels = np.arange(len(series), dtype=np.int32) % 3
    places = np.array([f"line {number + 1}" for number in range(len(series))])
    source = ArraySource(series, labels, CLASSES, "set.ts", places)
    return series, SequenceLoader(source, SeriesPreprocess(1, "none"), skip_unreadable=bool(broken))


@pytest.fixture(scope="module")
def net():
    model = MeanNet()
    variables = model.init(jax.random.key(0), np.zeros((1, 4, 1), np.float32), train=False)
    return Pretrained(model, jax.device_get(variables), SeriesPreprocess(1, "none"), "mean", CLASSES)


@pytest.fixture(scope="module")
def parallel():
    return Parallel(devices=jax.devices()[:1])


def test_predictions_are_in_the_order_of_the_source_whatever_the_batches(net, parallel):
    series, loader = made((9, 3, 30, 4, 17, 3, 8))
    task = Classification(classes=CLASSES)
    expected = jax.nn.log_softmax(np.stack([[k * one.mean() for k in range(3)] for one in series]))
    for batch_size, buckets in ((2, 3), (4, 1)):
        evaluator = task.evaluator()
        loader = replace(loader, buckets=buckets)
        predictions, sown = predict_sequences(net, task, loader, evaluator, batch_size=batch_size, parallel=parallel)
        assert list(predictions.names) == [f"set.ts, line {number}" for number in range(1, 8)]
        assert list(predictions.indices) == list(range(7)) and sown == {}
        np.testing.assert_array_equal(predictions.labels, [0, 1, 2, 0, 1, 2, 0])
        np.testing.assert_allclose(predictions.outputs["log_probability"], expected, atol=1e-5)
        hits = (predictions.outputs["log_probability"].argmax(1) == predictions.labels).mean()
        assert evaluator.result()["top1"] == pytest.approx(hits)


def test_broken_series_are_skipped_and_named(net, parallel):
    task = Classification(classes=CLASSES)
    _, loader = made((9, 3, 30), broken=(1,))
    predictions, _ = predict_sequences(net, task, loader, task.evaluator(), batch_size=2, parallel=parallel)
    assert list(predictions.indices) == [0, 2] and list(loader.skipped) == ["set.ts, line 2"]
    _, loader = made((9, 3), broken=(0, 1))
    with pytest.raises(DataError, match="^none of 2 examples could be read; the last: set.ts, line 2: expected finite"):
        predict_sequences(net, task, loader, task.evaluator(), batch_size=2, parallel=parallel)


def test_rows_of_unequal_lengths_end_with_zeros():
    stacked = stacked_rows([np.array([1, 2, 3], np.int32), np.array([4], np.int32)])
    np.testing.assert_array_equal(stacked, [[1, 2, 3], [4, 0, 0]])
    assert stacked.dtype == np.int32 and stacked_rows([np.float32(2), np.float32(3)]).tolist() == [2, 3]


def test_inputs_are_identified_by_their_contents(tmp_path):
    (tmp_path / "a.txt").write_text("same")
    inputs = SequenceInputs(["same", b"same", tmp_path / "a.txt", "other", np.zeros((3, 1), np.float32)], list("abcde"))
    fingerprints = inputs.identity(np.arange(5), "contents").fingerprints
    assert len(set(fingerprints[:3])) == 1 and len(set(fingerprints)) == 3
