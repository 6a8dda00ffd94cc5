"""CLIP's text tower: a transformer with a causal mask (Radford et al. 2021, section 2.4, "text encoder")."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.context import Activation
from resnet_jax.models.initializers import Initializer, scaled_normal
from resnet_jax.models.layers import Dense, LayerNorm
from resnet_jax.models.options import check_choice, check_integer
from resnet_jax.models.partials import Partial
from resnet_jax.models.sequence.tokens import Embedding
from resnet_jax.types import Array, Dtype, at_least_float32, check_is_array

TextActivation = Literal["quick_gelu", "gelu"]
ACTIVATIONS: dict[str, Activation] = {"quick_gelu": ops.quick_gelu, "gelu": ops.gelu}
EPSILON = 1e-5  # of the layer norms


def normal(deviation: float) -> Initializer:
    """Samples of a normal distribution with this standard deviation."""
    return Partial(scaled_normal, deviation=deviation)


class CausalAttention(nn.Module):
    """Attention of each position to itself and those before it, with `heads` heads: [N, L, C] -> [N, L, C]."""

    heads: int
    dtype: Dtype
    param_dtype: Dtype
    out_init: Initializer

    @nn.compact
    def __call__(self, x: Array) -> Array:
        n, length, channels = x.shape
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        joined = Dense(3 * channels, kernel_init=normal(channels**-0.5), name="qkv", **types)(x)
        query, key, value = jnp.moveaxis(joined.reshape(n, length, 3, self.heads, channels // self.heads), 2, 0)
        ops.add_macs(2 * length * x.size, other=True)
        scores = jnp.einsum("nqhc,nkhc->nhqk", query * (channels // self.heads) ** -0.5, key)
        scores = scores.astype(at_least_float32(self.dtype))
        position = jnp.arange(length)
        is_visible = position[:, None] >= position[None]
        weights = jax.nn.softmax(jnp.where(is_visible[None, None], scores, -jnp.inf), axis=-1).astype(self.dtype)
        mixed = jnp.einsum("nhqk,nkhc->nqhc", weights, value).reshape(n, length, channels)
        return Dense(channels, kernel_init=self.out_init, name="out", **types)(mixed)


class TextBlock(nn.Module):
    """x + attention(norm1(x)), then x + MLP(norm2(x)): [N, L, C] -> [N, L, C] (Radford et al. 2019, section 2.3)."""

    heads: int
    act: TextActivation
    dtype: Dtype
    param_dtype: Dtype
    branch_init: Initializer  # of the last layer of both branches

    @nn.compact
    def __call__(self, x: Array) -> Array:
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        attention = CausalAttention(self.heads, **types, out_init=self.branch_init, name="attention")
        x = x + attention(LayerNorm(EPSILON, **types, name="norm1")(x))
        channels = x.shape[-1]
        first = Dense(4 * channels, kernel_init=normal((2 * channels) ** -0.5), name="dense1", **types)
        second = Dense(channels, kernel_init=self.branch_init, name="dense2", **types)
        return x + second(ACTIVATIONS[self.act](first(LayerNorm(EPSILON, **types, name="norm2")(x))))


class TextTransformer(nn.Module):
    """Tokens int [N, L] -> features [N, features], at least float32, of the position of the greatest token.

    In CLIP's vocabulary the greatest token is the end of the text. No position depends on a later one, so the padding
    behind the end changes nothing: texts may be cut to any L up to `context_length` that holds their ends.
    """

    features: int
    width: int = 512
    heads: int = 8
    layers: int = 12
    context_length: int = 77
    vocabulary_size: int = 49_408
    act: TextActivation = "quick_gelu"
    remat: str = "none"  # otherwise the activations of each block are recomputed in the backward pass
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    takes_tokens: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for field in ("features", "width", "heads", "layers", "context_length", "vocabulary_size"):
            setattr(self, field, check_integer(field, getattr(self, field), 1))
        check_choice("act", self.act, ACTIVATIONS)
        if self.width % self.heads:
            raise ValueError(f"heads: expected a divisor of the width {self.width}, got {self.heads}")
        super().__post_init__()

    @nn.compact
    def __call__(self, tokens: Array, train: bool = False) -> Array:
        self._check_tokens(tokens)
        tokens = jnp.asarray(tokens)
        types = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        embedding = Embedding(
            self.vocabulary_size, self.width, **types, embedding_init=normal(0.02), name="token_embedding"
        )
        shape = (self.context_length, self.width)
        positions = ops.unshard(self.param("positional_embedding", normal(0.01), shape, self.param_dtype))
        x = embedding(tokens) + positions[None, : tokens.shape[1]].astype(self.dtype)
        block = TextBlock if self.remat == "none" else nn.remat(TextBlock)
        branch_init = normal((2 * self.layers * self.width) ** -0.5)
        for i in range(self.layers):
            x = block(self.heads, self.act, **types, branch_init=branch_init, name=f"block{i}")(x)
        row = ops.shard_like(jnp.arange(tokens.shape[0]), tokens)
        x = ops.gather_like(x, (row, tokens.argmax(1)), tokens)  # the norm is of each position
        wide = at_least_float32(self.dtype)
        x = LayerNorm(EPSILON, wide, self.param_dtype, name="norm")(x)
        projection = Dense(
            self.features, wide, self.param_dtype, None, kernel_init=normal(self.width**-0.5), name="projection"
        )
        return projection(x)

    def _check_tokens(self, tokens: Any) -> None:
        expected = f"tokens int [N, L] with L from 1 to {self.context_length}"
        check_is_array(tokens, expected)
        got = f"{tokens.dtype} {list(tokens.shape)}"
        if not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise TypeError(f"expected {expected}, got {got}")
        if tokens.ndim != 2 or not 1 <= tokens.shape[1] <= self.context_length:
            hint = "; tokens[None] is a batch of one" if tokens.ndim == 1 else ""
            raise ValueError(f"expected {expected}, got {got}{hint}")
