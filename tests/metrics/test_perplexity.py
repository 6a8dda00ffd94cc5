"""Perplexity and bits in closed form, streaming."""

import math

import numpy as np
import pytest

from resnet_jax.metrics.perplexity import PerplexityMetrics


def test_a_uniform_model_has_the_perplexity_of_its_vocabulary():
    metrics = PerplexityMetrics()
    for tokens in ([3, 0, 7], [5]):
        metrics.update(np.array(tokens) * math.log(50), np.array(tokens), np.ones(len(tokens)))
    assert metrics.result() == pytest.approx({"perplexity": 50, "bits_per_token": math.log2(50)}, rel=1e-14)


def test_words_have_bits_per_character_and_a_share_of_unknown_ones():
    metrics = PerplexityMetrics()
    one = np.array([1])
    metrics.update(np.array([8 * math.log(2)]), np.array([2]), one, characters=np.array([10]), unknown=np.array([1]))
    metrics.update(np.array([4 * math.log(2)]), np.array([2]), one, characters=np.array([6]), unknown=np.array([0]))
    expected = {"perplexity": 8, "bits_per_token": 3, "bits_per_character": 12 / 16, "unknown_share": 1 / 4}
    assert metrics.result() == pytest.approx(expected, rel=1e-14)


def test_padding_counts_nothing_and_batches_do_not_matter():
    rng = np.random.default_rng(0)
    nats, tokens = rng.random(9) * 40, rng.integers(1, 9, 9)
    whole = PerplexityMetrics()
    whole.update(nats, tokens, np.ones(9))
    parts = PerplexityMetrics()
    for rows in (slice(0, 4), slice(4, 9)):
        padded = np.append(nats[rows], np.nan), np.append(tokens[rows], -3)
        parts.update(*padded, np.append(np.ones(rows.stop - rows.start), 0))
    assert parts.result() == pytest.approx(whole.result(), rel=1e-14)
    assert whole.result()["perplexity"] == pytest.approx(math.exp(nats.sum() / tokens.sum()), rel=1e-14)


def test_extremes_are_reported_as_they_are():
    def perplexity(nats):
        metrics = PerplexityMetrics()
        metrics.update(np.array([nats]), np.array([1]), np.array([1]))
        return metrics.result()["perplexity"]

    assert perplexity(800.0) == math.inf and perplexity(math.inf) == math.inf
    assert math.isnan(perplexity(math.nan))
    assert perplexity(709.0) == math.exp(709.0)


def test_wrong_updates_are_named():
    one = np.ones(1)
    metrics = PerplexityMetrics()
    with pytest.raises(ValueError, match="expected at least one predicted token, got none"):
        metrics.result()
    with pytest.raises(ValueError, match=r"expected nats \[1\], got \[2\]"):
        metrics.update(np.ones(2), np.array([1]), one)
    with pytest.raises(ValueError, match=r"expected tokens int \[1\], got float64 \[1\]"):
        metrics.update(one, one, one)
    with pytest.raises(ValueError, match="expected characters of at least 0, got -1"):
        metrics.update(one, np.array([1]), one, characters=np.array([-1]))
    metrics.update(one, np.array([1]), one)
    with pytest.raises(ValueError, match="characters: expected them in every update or in none"):
        metrics.update(one, np.array([1]), one, characters=np.array([2]))
    assert metrics.result()["bits_per_token"] == pytest.approx(1 / math.log(2))
