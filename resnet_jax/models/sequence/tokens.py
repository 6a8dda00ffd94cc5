"""Nets whose input is tokens: an embedding before the skeleton of every net."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.initializers import Initializer, scaled_normal
from resnet_jax.models.layers import BiasedConv
from resnet_jax.models.options import check_integer
from resnet_jax.models.resnet import Outputs
from resnet_jax.models.sequence.net import SequenceNet
from resnet_jax.types import Array, Dtype, check_is_array


class Embedding(nn.Module):
    """A vector for each token: int [N, L] -> [N, L, features]. A token outside the vocabulary has NaN."""

    size: int  # number of tokens in the vocabulary
    features: int
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32
    embedding_init: Initializer = scaled_normal

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        table = self.param("embedding", self.embedding_init, (self.size, self.features), self.param_dtype)
        rows = jnp.where(tokens < 0, self.size, tokens)  # negative ones would count from the end
        vectors = jnp.asarray(ops.unshard(table), self.dtype)  # variables may be NumPy's
        return ops.gather_like(vectors, (rows,), tokens, fill=jnp.nan)


class TokenNet(SequenceNet):
    """Texts int [N, L] -> Outputs: an embedding of `in_channels` for each token, then a `SequenceNet`.

    With `lengths` int [N], convolutions see zeros behind each text. Without them all L tokens count: padding, token 0,
    has an embedding like any other, as in Conneau et al. 2017, whose texts are all padded to one length.
    """

    vocabulary_size: int = 0  # 0: `num_classes`, for language models
    embedding_init: Initializer = scaled_normal

    takes_tokens: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self.vocabulary_size = check_integer("vocabulary_size", self.vocabulary_size, 0)
        if not (self.vocabulary_size or self.num_classes):
            raise ValueError("vocabulary_size: expected at least 1 in a net without classes, got 0")
        if self.output_stride is not None:
            raise ValueError(f"output_stride: expected None for texts, got {self.output_stride!r}")
        super().__post_init__()

    @nn.compact
    def __call__(
        self, tokens: Array, train: bool, example_index: Array | None = None, lengths: Array | None = None
    ) -> Outputs:
        self._check_tokens(tokens)
        embedding = Embedding(
            self.vocabulary_size or self.num_classes,
            self.in_channels,
            self.dtype,
            self.param_dtype,
            self.embedding_init,
            name="embedding",
        )
        index = jnp.arange(tokens.shape[0]) if example_index is None else example_index
        x = self._embedded(embedding(jnp.asarray(tokens)), train, index)
        return super().__call__(x, train, index, lengths)

    @nn.nowrap
    def _embedded(self, x: Array, train: bool, index: Array) -> Array:
        """What is done with the embeddings [N, L, E] of examples `index` [N] before the stem: nothing here."""
        return x

    def _check_tokens(self, tokens: Any) -> None:
        expected = "tokens int [N, L]"
        check_is_array(tokens, expected)
        got = f"{tokens.dtype} {list(tokens.shape)}"
        if not jnp.issubdtype(tokens.dtype, jnp.integer):
            raise TypeError(f"expected {expected}, got {got}")
        if tokens.ndim != 2 or not tokens.shape[1]:
            hint = "; tokens[None] is a batch of one" if tokens.ndim == 1 and tokens.size else ""
            raise ValueError(f"expected {expected} of at least one token, got {got}{hint}")


class TokenStem(nn.Module):
    """One convolution with a bias and no norm behind it (Conneau et al. 2017, figure 1)."""

    context: BlockContext
    features: int
    kernel_size: int = 3

    total_strides: ClassVar[int] = 1

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        x = self.context.with_conv(BiasedConv).conv(self.features, self.kernel_size, name="conv")(x)
        return x, x
