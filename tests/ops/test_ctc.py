"""Decoding of CTC against all paths of small cases, a dictionary of prefixes, and the loss of Optax."""

import itertools
from collections import defaultdict

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from resnet_jax.ops.ctc import beam_decode, greedy_decode

GREEDY = jax.jit(greedy_decode, static_argnames="blank")
BEAM = jax.jit(beam_decode, static_argnames=("width", "blank"))


def read(path, blank=0):
    """The labels that a path reads as."""
    return tuple(label for label, _ in itertools.groupby(path) if label != blank)


def exact(log_probs, blank=0):
    """Log-probabilities of all labels of one example [L, K]: sums over all its K ** L paths."""
    paths = defaultdict(list)
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        paths[read(path, blank)].append(log_probs[np.arange(len(path)), list(path)].sum())
    return {labels: np.logaddexp.reduce(scores) for labels, scores in paths.items()}


def prefix_search(log_probs, width, blank=0):
    """Prefix beam search as the papers write it: a dictionary of prefixes, and the best `width` after each frame."""
    beams = {(): (0.0, -np.inf)}
    for frame in log_probs:
        new = defaultdict(lambda: [-np.inf, -np.inf])
        for prefix, (on_blank, on_label) in beams.items():
            both = np.logaddexp(on_blank, on_label)
            new[prefix][0] = np.logaddexp(new[prefix][0], both + frame[blank])
            for label in set(range(len(frame))) - {blank}:
                longer = (*prefix, label)
                if prefix[-1:] == (label,):
                    new[prefix][1] = np.logaddexp(new[prefix][1], on_label + frame[label])
                    new[longer][1] = np.logaddexp(new[longer][1], on_blank + frame[label])
                else:
                    new[longer][1] = np.logaddexp(new[longer][1], both + frame[label])
        beams = dict(sorted(new.items(), key=lambda item: -np.logaddexp(*item[1]))[:width])
    return {prefix: np.logaddexp(*scores) for prefix, scores in beams.items()}


def log_probs(rng, *shape):
    return np.asarray(jax.nn.log_softmax(rng.normal(scale=2, size=shape)))


def rows(decoded, example):
    """Labels and scores of the beams of an example that are not dead."""
    labels, lengths, scores = (np.asarray(x[example]) for x in decoded)
    return {tuple(row[:n].tolist()): x for row, n, x in zip(labels, lengths, scores, strict=True) if x > -np.inf}


def test_the_best_path_merges_repetitions_and_drops_blanks():
    paths = np.array([[1, 1, 0, 1, 2, 2, 0], [0, 0, 0, 0, 0, 0, 0], [3, 3, 3, 0, 3, 1, 1]])
    decoded = GREEDY(5.0 * np.eye(4, dtype=np.float32)[paths], np.array([7, 7, 3]))
    np.testing.assert_array_equal(decoded.labels, [[1, 1, 2, 0, 0, 0, 0], [0] * 7, [3, 0, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(decoded.lengths, [3, 0, 1])
    best = 5 - np.log(np.exp(5) + 3)
    np.testing.assert_allclose(decoded.scores, [7 * best, 7 * best, 3 * best], rtol=1e-5)
    shifted = GREEDY(5.0 * np.eye(4, dtype=np.float32)[(paths + 3) % 4], blank=3)
    np.testing.assert_array_equal(shifted.labels[0], [0, 0, 1, 3, 3, 3, 3])


@pytest.mark.parametrize("blank", [0, 2])
def test_a_wide_beam_has_the_exact_probabilities(x64, blank):
    probs = log_probs(np.random.default_rng(blank), 2, 4, 3)
    decoded = BEAM(probs, width=40, blank=blank)
    for example in range(2):
        expected = exact(probs[example], blank)
        actual = rows(decoded, example)
        assert actual.keys() == expected.keys() and len(actual) < 40
        for labels, score in expected.items():
            assert actual[labels] == pytest.approx(score, abs=1e-10)
        scores = np.asarray(decoded.scores[example])
        np.testing.assert_array_equal(scores, np.sort(scores)[::-1])


@pytest.mark.parametrize("width", [1, 3, 8])
def test_a_narrow_beam_is_that_of_the_papers(x64, width):
    probs = log_probs(np.random.default_rng(7), 3, 12, 5)
    decoded = BEAM(probs, width=width)
    for example in range(3):
        expected = prefix_search(probs[example], width)
        actual = rows(decoded, example)
        assert list(actual) == list(expected)
        np.testing.assert_allclose(list(actual.values()), list(expected.values()), rtol=0, atol=1e-10)


def test_scores_are_those_of_the_loss_and_better_than_the_best_path_alone(x64):
    probs = log_probs(np.random.default_rng(3), 4, 10, 3)
    decoded = BEAM(probs, width=300)
    best = decoded.labels[:, 0]
    behind = (jnp.arange(10)[None] >= decoded.lengths[:, :1]).astype(float)
    losses = optax.ctc_loss(probs, jnp.zeros((4, 10)), best, behind)
    np.testing.assert_allclose(decoded.scores[:, 0], -losses, rtol=0, atol=1e-8)
    assert (np.asarray(decoded.scores[:, 0]) > np.asarray(GREEDY(probs).scores)).all()


def test_the_labels_may_differ_from_the_best_path():
    """Graves et al. 2006, figure 2: the most probable path is blank, the most probable labels are not."""
    logits = np.log(np.array([[[0.6, 0.4], [0.6, 0.4]]], np.float32))
    assert int(GREEDY(logits).lengths[0]) == 0
    decoded = BEAM(logits, width=2)
    assert decoded.labels[0, 0].tolist() == [1, 0] and decoded.lengths[0].tolist() == [1, 0]
    np.testing.assert_allclose(np.exp(decoded.scores[0]), [0.64, 0.36], rtol=1e-5)


@pytest.mark.parametrize("decode", [GREEDY, lambda x, lengths: BEAM(x, lengths, width=3)], ids=["greedy", "beam"])
def test_frames_behind_an_examples_length_change_nothing(decode):
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(2, 6, 4)).astype(np.float32)
    lengths = np.array([6, 4])
    noisy = logits.copy()
    noisy[1, 4:] = rng.normal(size=(2, 4)) * 9
    jax.tree.map(np.testing.assert_array_equal, decode(logits, lengths), decode(noisy, lengths))
    short = decode(logits[1:, :4], lengths[1:])
    whole = decode(logits, lengths)
    np.testing.assert_array_equal(short.labels[0], whole.labels[1][..., :4])
    np.testing.assert_array_equal(short.scores[0], whole.scores[1])
    assert (np.asarray(whole.lengths[1]) <= 4).all()


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        ([np.zeros((2, 5), np.float32)], {}, r"expected logits float \[N, L, K\], got float32 \[2, 5\]"),
        ([np.zeros((2, 5, 3), np.int32)], {}, r"expected logits float \[N, L, K\], got int32 \[2, 5, 3\]"),
        ([np.zeros((2, 5, 3), np.float32)], {"blank": 3}, "expected blank from 0 to 2, the labels .*, got 3"),
        ([np.zeros((2, 5, 3), np.float32), np.zeros(3)], {}, r"expected lengths \[2\], one per example, got \[3\]"),
    ],
)
def test_other_arguments_are_refused(arguments, options, message):
    for decode in (greedy_decode, beam_decode):
        with pytest.raises(ValueError, match=message):
            decode(*arguments, **options)
    with pytest.raises(ValueError, match="expected width of at least 1, got 0"):
        beam_decode(np.zeros((1, 2, 3), np.float32), width=0)
