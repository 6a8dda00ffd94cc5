"""The tokenizer of the texts beside images: CLIP's. The tokenizers of all nets are in `resnet_jax.texts`."""

from __future__ import annotations

from resnet_jax.texts.clip import CLIPTokenizer

__all__ = ["CLIPTokenizer"]
