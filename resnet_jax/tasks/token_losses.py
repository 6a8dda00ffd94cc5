"""Losses of language models: (logits [N, L, K], tokens [N, L]) -> one number per example."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from resnet_jax.types import Array, at_least_float32


def next_token_losses(
    logits: Array, tokens: Array, lengths: Array | None = None, context: Array | None = None
) -> tuple[Array, Array]:
    """-sum_t log softmax(logits_t)[token_(t + 1)], and the number of its terms: float [N], int [N].

    The logits at a position predict the token behind it, so the first token of a text is not predicted. The mean loss
    of a batch is the sum of the losses divided by that of the numbers. A token outside 0 .. K - 1 has a loss of NaN
    and adds nothing to the gradient.

    Args:
      logits: float [N, L, K].
      tokens: int [N, L], the net's input.
      lengths: int [N], number of tokens of each text; those behind are not predicted. None: all L.
      context: int [N], number of the first tokens that are not predicted, as `texts.windows` counts them. None,
        and below 1: 1.

    Raises:
      TypeError: logits that are not floating point, tokens, lengths or contexts that are no integers.
      ValueError: arrays of other shapes.
    """
    _check(logits, tokens, {"lengths": lengths, "context": context})
    n, size, classes = logits.shape
    log_p = jax.nn.log_softmax(logits[:, :-1].astype(at_least_float32(logits.dtype)))
    targets = tokens[:, 1:]
    places = jnp.where((targets >= 0) & (targets < classes), targets, classes)
    losses = -jnp.take_along_axis(log_p, places[..., None], axis=-1, mode="fill", fill_value=jnp.nan)[..., 0]
    # Small and unsigned types cannot hold the size and differences.
    end, start = (None if x is None else jnp.asarray(x).astype(jnp.int32) for x in (lengths, context))
    end = jnp.full((n,), size) if end is None else jnp.clip(end, 0, size)
    start = jnp.ones((n,), end.dtype) if start is None else jnp.maximum(start, 1).astype(end.dtype)
    predicted = jnp.arange(1, size)[None]
    is_counted = (start[:, None] <= predicted) & (predicted < end[:, None])
    return jnp.where(is_counted, losses, 0).sum(1), jnp.maximum(end - start, 0)


def _check(logits: Array, tokens: Array, counts: dict[str, Array | None]) -> None:
    if logits.ndim != 3 or not jnp.issubdtype(logits.dtype, jnp.floating):
        kind = TypeError if logits.ndim == 3 else ValueError
        raise kind(f"expected logits float [N, L, K], got {logits.dtype} {list(logits.shape)}")
    shapes = {"tokens": (tokens, logits.shape[:2])}
    shapes |= {name: (values, logits.shape[:1]) for name, values in counts.items() if values is not None}
    for name, (values, shape) in shapes.items():
        expected = f"expected {name} int {list(shape)}"
        if not jnp.issubdtype(jnp.result_type(values), jnp.integer):
            raise TypeError(f"{expected}, got {jnp.result_type(values)} {list(jnp.shape(values))}")
        if jnp.shape(values) != shape:
            raise ValueError(f"{expected}, got {list(jnp.shape(values))}")
