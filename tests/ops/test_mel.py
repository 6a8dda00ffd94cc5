"""Mel scales, filters and the cosine transform."""

import numpy as np
import pytest

from resnet_jax.ops.mel import cosine_transform, hertz_to_mel, mel_filters, mel_to_hertz


def test_scales_have_their_published_points():
    np.testing.assert_allclose(hertz_to_mel(1000, "htk"), 999.9855, atol=1e-4)
    np.testing.assert_allclose(hertz_to_mel(np.array([0, 200 / 3, 1000, 6400]), "slaney"), [0, 1, 15, 42], atol=1e-12)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_scales_are_monotonic_and_invertible(scale):
    hertz = np.linspace(0, 12000, 101)
    mel = hertz_to_mel(hertz, scale)
    assert (np.diff(mel) > 0).all()
    np.testing.assert_allclose(mel_to_hertz(mel, scale), hertz, rtol=1e-12, atol=1e-10)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_neighbouring_filters_add_up_to_one_between_their_centres(scale):
    bins = np.arange(0, 4001, 5.0)
    centres = mel_to_hertz(np.linspace(hertz_to_mel(100, scale), hertz_to_mel(3800, scale), 14), scale)
    filters = mel_filters(bins, 12, low=100, high=3800, scale=scale)
    between = (bins >= centres[1]) & (bins <= centres[-2])
    np.testing.assert_allclose(filters[between].sum(1), 1, atol=1e-12)
    assert (filters[(bins < 100) | (bins > 3800)] == 0).all() and filters.min() == 0
    np.testing.assert_allclose(bins[filters.argmax(0)], centres[1:-1], atol=5)


def test_areas_of_normalised_filters_are_one():
    bins = np.arange(0, 8000, 0.5)
    filters = mel_filters(bins, 20, low=0, high=7000, scale="slaney", norm="slaney")
    np.testing.assert_allclose(filters.sum(0) * 0.5, 1, rtol=1e-3)


def test_the_cosine_transform_is_orthonormal():
    whole = cosine_transform(9, 9)
    np.testing.assert_allclose(whole.T @ whole, np.eye(9), atol=1e-14)
    np.testing.assert_array_equal(cosine_transform(9, 4), whole[:, :4])
    np.testing.assert_allclose(whole.T @ np.ones(9), 3 * np.eye(9)[0], atol=1e-14)  # a constant has one coefficient
