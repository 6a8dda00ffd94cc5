"""Recall in both directions, of images with one caption or several."""

import math

import numpy as np
import pytest

from resnet_jax.checkpoints.best import BestTest, Measure
from resnet_jax.metrics.retrieval import RESULTS, RetrievalMetrics, best_ranks


def recall(images, texts, keys, captions):
    metrics = RetrievalMetrics()
    for rows in (slice(0, 2), slice(2, None)):
        metrics.update(images[rows], texts[rows], keys[rows], captions[rows])
    return metrics.result()


def test_recall_counts_the_wrong_candidates_with_a_score_as_high():
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(2, 40, 3)).astype(np.float32)
    scores = images @ texts.T
    expected = {"image_to_text": scores, "text_to_image": scores.T}
    values = recall(images, texts, np.arange(40), np.arange(40)[:, None])
    assert tuple(values) == RESULTS
    for name, one in expected.items():
        ranks = (one >= np.diag(one)[:, None]).sum(1) - 1
        for k in (1, 5, 10):
            assert values[f"{name}_r{k}"] == pytest.approx((ranks < k).mean())
    assert values["r1"] == pytest.approx((values["image_to_text_r1"] + values["text_to_image_r1"]) / 2)


def test_equal_features_retrieve_nothing():
    same = np.ones((20, 2))
    assert set(recall(same, same, np.arange(20), np.arange(20)[:, None]).values()) == {0.0}


def test_nets_without_finite_features_have_no_results():
    """Otherwise the first test of a run that has diverged would count as its best."""
    nan, places = np.full((3, 2), np.nan), np.arange(3)
    for images, texts in ((nan, nan), (np.ones((3, 2)), nan), (nan, np.ones((3, 2)))):
        values = recall(images, texts, places, places[:, None])
        assert tuple(values) == RESULTS and all(map(math.isnan, values.values()))
        assert not BestTest(Measure.of("r1", dict.fromkeys(RESULTS, 1))).add(1, values)


def test_nan_retrieves_nothing_and_is_not_better_than_numbers():
    images, texts = np.eye(3), np.eye(3)
    texts[2] = np.nan  # of a wrong caption of the first two images
    values = recall(images, texts, np.arange(3), np.arange(3)[:, None])
    assert values["image_to_text_r1"] == 0 and values["image_to_text_r5"] == pytest.approx(2 / 3)
    assert values["text_to_image_r1"] == values["text_to_image_r10"] == pytest.approx(2 / 3)


def test_an_image_with_several_captions_counts_once_and_a_shared_caption_is_correct_for_each_image():
    images = np.eye(3)[[0, 0, 1, 2]]  # the first has two captions
    texts = np.eye(3)[[2, 0, 1, 1]]  # the first caption is wrong; images 1 and 2 have the same caption
    values = recall(images, texts, np.array([5, 5, 3, 9]), np.array([[1], [2], [3], [3]]))
    assert values["image_to_text_r1"] == pytest.approx(2 / 3)  # image 2 retrieves caption 0
    assert values["text_to_image_r1"] == pytest.approx(3 / 4)  # the last caption retrieves image 1, which has it too


def test_ranks_do_not_depend_on_the_chunks(monkeypatch):
    monkeypatch.setattr("resnet_jax.metrics.retrieval.CHUNK", 2)
    queries = np.array([[1.0, 0], [0, 1], [1, 1]])
    candidates = np.array([[1.0, 0], [0, 1], [2, 2]])
    places = [np.array([0]), np.array([1, 0]), np.array([2])]
    np.testing.assert_array_equal(best_ranks(queries, candidates, places), [1, 1, 0])


def test_nothing_is_no_evaluation():
    with pytest.raises(ValueError, match="at least one pair"):
        RetrievalMetrics().result()
