"""Decoding of the logits of connectionist temporal classification (CTC): the best path, and prefix beam search.

Graves et al. 2006, "Connectionist Temporal Classification", section 3: a path has a label or the blank for each frame.
It reads as the labels that remain when repeated ones are merged and blanks are removed.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.types import Array, at_least_float32


class Decoded(NamedTuple):
    """Decoded labels. Beam search has an axis of beams behind N, the best beam first."""

    labels: Array  # int32 [N, L], the blank behind each example's labels
    lengths: Array  # int32 [N]: number of labels
    scores: Array  # float [N]: log-probability


class _Beams(NamedTuple):
    """W prefixes of one example. Dead ones have the log-probability -inf."""

    prefixes: Array  # int32 [W, L]
    sizes: Array  # int32 [W]
    blank: Array  # float [W]: log-probability of the paths that end in the blank
    label: Array  # float [W]: of those that end in the prefix's last label


def greedy_decode(logits: Array, lengths: Array | None = None, *, blank: int = 0) -> Decoded:
    """The labels of the most probable path; the score is the log-probability of that path.

    Args:
      logits: float [N, L, K]: K labels, one of them the blank.
      lengths: int [N], frames of each example; None: all L.
      blank: index of the blank, as in `optax.ctc_loss`.

    Raises:
      ValueError: other shapes, or a blank that is not one of the K labels.
    """
    frames = _frames(logits, lengths, blank)
    log_probs = _log_softmax(logits)
    best = jnp.argmax(log_probs, -1).astype(jnp.int32)
    is_valid = jnp.arange(best.shape[1])[None] < frames[:, None]
    before = jnp.pad(best, ((0, 0), (1, 0)), constant_values=blank)[:, :-1]
    is_label = is_valid & (best != blank) & (best != before)
    places = jnp.where(is_label, jnp.cumsum(is_label, 1) - 1, best.shape[1])  # L: dropped
    labels = jax.vmap(partial(_scattered, blank=blank))(places, best)
    scores = jnp.sum(jnp.where(is_valid, jnp.max(log_probs, -1), 0), 1)
    return Decoded(labels, jnp.sum(is_label, 1, dtype=jnp.int32), scores)


def _scattered(places: Array, labels: Array, *, blank: int) -> Array:
    """Labels [L] at their places, the blank elsewhere."""
    return jnp.full_like(labels, blank).at[places].set(labels, mode="drop")


def beam_decode(logits: Array, lengths: Array | None = None, *, width: int = 16, blank: int = 0) -> Decoded:
    """The most probable labels by prefix beam search: labels [N, W, L], lengths [N, W], scores [N, W] for W = `width`.

    Paths with the same labels are added up (Graves 2012, "Sequence Transduction with Recurrent Neural Networks",
    section 3; Hannun et al. 2014, "First-Pass Large Vocabulary Continuous Speech Recognition", algorithm 1, without a
    language model). The score is the log-probability of the labels over the paths that stayed in the beam: at most
    the exact one, and equal to it if the beam never drops a prefix. Beams without labels to fill them have the score
    -inf and the length 0. A frame takes time and memory in proportion to W * W * L + W * K.

    Other arguments and errors are as for `greedy_decode`; ValueError for a width below 1.
    """
    if width < 1:
        raise ValueError(f"expected width of at least 1, got {width}")
    frames = _frames(logits, lengths, blank)
    search = jax.vmap(partial(_search, width=width, blank=blank))
    beams = search(_log_softmax(logits), frames)
    scores = jnp.logaddexp(beams.blank, beams.label)
    sizes = jnp.where(jnp.isneginf(scores), 0, beams.sizes)
    is_label = jnp.arange(logits.shape[1])[None, None] < sizes[..., None]
    return Decoded(jnp.where(is_label, beams.prefixes, blank), sizes, scores)


def _search(log_probs: Array, frames: Array, *, width: int, blank: int) -> _Beams:
    """Beams of one example, float [L, K], after its `frames` frames."""
    count = log_probs.shape[0]
    dead = jnp.full(width, -jnp.inf, log_probs.dtype)
    first = _Beams(jnp.full((width, count), blank, jnp.int32), jnp.zeros(width, jnp.int32), dead.at[0].set(0), dead)

    def advance(beams: _Beams, frame: tuple[Array, Array]) -> tuple[_Beams, None]:
        place, probs = frame
        return jax.tree.map(partial(jnp.where, place < frames), _advanced(beams, probs, blank), beams), None

    return lax.scan(advance, first, (jnp.arange(count), log_probs))[0]


def _advanced(beams: _Beams, probs: Array, blank: int) -> _Beams:
    """The best beams after one more frame with the log-probabilities `probs`, float [K]."""
    width, labels = len(beams.sizes), len(probs)
    total = jnp.logaddexp(beams.blank, beams.label)
    last = jnp.take_along_axis(beams.prefixes, jnp.maximum(beams.sizes - 1, 0)[:, None], 1)[:, 0]  # blank if empty
    stays_blank = total + probs[blank]
    stays_label = jnp.where(beams.sizes > 0, beams.label + probs[last], -jnp.inf)
    # A label extends its own repetition only over a blank.
    repeats = jnp.arange(labels)[None] == last[:, None]
    extended = jnp.where(repeats, beams.blank[:, None], total[:, None]) + probs[None]
    extended = extended.at[:, blank].set(-jnp.inf)
    # A prefix that another one grows to is that beam: their paths are added up.
    parent, has_parent = _parents(beams, ~jnp.isneginf(total))
    grown = jnp.where(has_parent, extended[parent, last], -jnp.inf)
    stays_label = jnp.logaddexp(stays_label, grown)
    extended = extended.at[jnp.where(has_parent, parent, width), last].set(-jnp.inf, mode="drop")
    scores = jnp.concatenate([jnp.logaddexp(stays_blank, stays_label), extended.ravel()])
    best, index = lax.top_k(scores, width)
    is_new = index >= width
    beam = jnp.where(is_new, (index - width) // labels, index)
    sizes, prefixes = beams.sizes[beam], beams.prefixes[beam]
    longer = jax.vmap(lambda prefix, place, label: prefix.at[place].set(label, mode="drop"))(
        prefixes, jnp.where(is_new, sizes, prefixes.shape[1]), (index - width) % labels
    )
    return _Beams(
        longer,
        sizes + is_new.astype(sizes.dtype),
        jnp.where(is_new, -jnp.inf, stays_blank[beam]),
        jnp.where(is_new, best, stays_label[beam]),
    )


def _parents(beams: _Beams, alive: Array) -> tuple[Array, Array]:
    """For each beam the one whose prefix is its own without the last label, int [W], and whether there is one, [W]."""
    prefixes, sizes = beams.prefixes, beams.sizes
    is_behind = jnp.arange(prefixes.shape[1])[None] >= sizes[:, None]
    begins = jnp.all(is_behind[:, None] | (prefixes[:, None] == prefixes[None]), -1)  # [parent, child]
    is_parent = begins & (sizes[:, None] + 1 == sizes[None]) & alive[:, None] & alive[None]
    return jnp.argmax(is_parent, 0), jnp.any(is_parent, 0)


def _log_softmax(logits: Array) -> Array:
    return jax.nn.log_softmax(logits.astype(at_least_float32(logits.dtype)))


def _frames(logits: Array, lengths: Array | None, blank: int) -> Array:
    """The number of frames of each example, int32 [N]. Raises ValueError for arguments of other shapes."""
    if logits.ndim != 3 or not jnp.issubdtype(logits.dtype, jnp.floating):
        raise ValueError(f"expected logits float [N, L, K], got {logits.dtype} {list(logits.shape)}")
    count, frames, labels = logits.shape
    if not 0 <= blank < labels:
        raise ValueError(f"expected blank from 0 to {labels - 1}, the labels of the logits, got {blank}")
    if lengths is None:
        return jnp.full(count, frames, jnp.int32)
    if jnp.shape(lengths) != (count,):
        raise ValueError(f"expected lengths [{count}], one per example, got {list(jnp.shape(lengths))}")
    return jnp.asarray(lengths).astype(jnp.int32)
