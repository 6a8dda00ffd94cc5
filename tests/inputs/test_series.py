"""Series as inputs of a net: normalisation per channel, and what cannot be read."""

import json

import numpy as np
import pytest

from resnet_jax.errors import DataError
from resnet_jax.inputs import SeriesPreprocess, preprocess_of

SERIES = [np.array([[1, 10], [3, 10], [5, 40]], np.float32), np.array([[2, 20]], np.float32)]


def test_each_normalises_every_series_by_itself():
    preprocess = SeriesPreprocess.of_series(SERIES)
    assert preprocess == SeriesPreprocess(2, "each")
    read = preprocess.read(SERIES[0], "x")
    assert read.dtype == np.float32 and preprocess.length(SERIES[0], "x") == 3
    np.testing.assert_allclose(read.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(read.std(0), 1, rtol=1e-6)
    np.testing.assert_array_equal(preprocess.read(SERIES[1], "x"), [[0, 0]])  # constant


def test_train_normalises_by_all_positions_of_the_training_series():
    preprocess = SeriesPreprocess.of_series(SERIES, "train")
    every = np.concatenate(SERIES)
    np.testing.assert_allclose(preprocess.mean, every.mean(0))
    np.testing.assert_allclose(preprocess.std, every.std(0))
    normalised = np.concatenate([preprocess.read(one, "x") for one in SERIES])
    np.testing.assert_allclose(normalised, (every - every.mean(0)) / every.std(0), rtol=1e-6)


@pytest.mark.parametrize("normalise", ["each", "train"])
def test_a_constant_channel_becomes_0(normalise):
    """Rounding leaves a deviation in the constant 0.1."""
    series = np.stack([np.full(7, 0.1), np.arange(7)], 1)
    read = SeriesPreprocess.of_series([series, series], normalise).read(series, "x")
    assert np.abs(read[:, 0]).max() < 1e-6 and read[:, 1].std() == pytest.approx(1)


def test_none_leaves_values_as_they_are():
    preprocess = SeriesPreprocess.of_series(SERIES, "none")
    np.testing.assert_array_equal(preprocess.read(SERIES[0], "x"), SERIES[0])


def test_small_deviations_about_a_large_mean_are_normalised_exactly():
    series = 1e6 + np.arange(50) * 1e-3
    expected = (np.arange(50) - 24.5) / np.arange(50).std()
    np.testing.assert_allclose(SeriesPreprocess(1).read(series, "x")[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (np.zeros((3, 1)), r"^x: expected a series float \[l, 2\], got \[3, 1\]$"),
        (np.zeros((0, 2)), r"^x: expected a series float \[l, 2\], got \[0, 2\]$"),
        (np.zeros((3, 2, 1)), r"^x: expected a series float \[l, 2\], got \[3, 2, 1\]$"),
        (np.array([[1, np.nan]]), "^x: expected finite numbers, got NaN or infinities$"),
        (np.array([["a", "b"]]), "^x: expected finite numbers, got <U1$"),
    ],
)
def test_what_is_no_series_is_named(item, message):
    for function in (SeriesPreprocess(2).read, SeriesPreprocess(2).length):
        with pytest.raises(DataError, match=message):
            function(item, "x")


def test_a_set_of_series_is_needed():
    with pytest.raises(ValueError, match="^expected at least one series, got none$"):
        SeriesPreprocess.of_series([], "train")


def test_its_record_restores_it():
    preprocess = SeriesPreprocess.of_series(SERIES, "train")
    record = json.loads(json.dumps(preprocess.record()))
    assert record["kind"] == "series" and preprocess_of(record) == preprocess


def test_a_batch_of_items_is_padded_and_has_lengths():
    x, lengths = SeriesPreprocess(2, "none").batch(SERIES)
    assert lengths.tolist() == [3, 1] and x.shape == (2, 3, 2)
    assert x[1].tolist() == [[2, 20], [0, 0], [0, 0]]
    univariate, lengths = SeriesPreprocess(1, "none").batch([[1.0, 2.0]])
    assert univariate.tolist() == [[[1], [2]]] and lengths.tolist() == [2]


def test_the_net_has_a_channel_for_each_of_the_series():
    preprocess = SeriesPreprocess(2)
    assert preprocess.model_options() == {"in_channels": 2} and preprocess.spatial_shape(7) == (7,)
    batch = {"image": np.zeros((1, 2, 2)), "lengths": np.array([2])}
    assert preprocess.prepare(batch) is batch
