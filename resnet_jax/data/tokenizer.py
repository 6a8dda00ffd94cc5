"""Tokenizers of the texts beside images. Those of all nets are in `resnet_jax.texts`."""

from __future__ import annotations

from resnet_jax.inputs.captions import tokenizer_of
from resnet_jax.texts.clip import CLIPTokenizer

__all__ = ["CLIPTokenizer", "tokenizer_of"]
