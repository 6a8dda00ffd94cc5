"""CLIP: an image tower and a text tower whose features are compared (Radford et al. 2021, figure 3)."""

from __future__ import annotations

import math
from dataclasses import field
from typing import Any, ClassVar, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from resnet_jax import ops
from resnet_jax.models.around import NetAround
from resnet_jax.models.options import check_choice, check_integer
from resnet_jax.models.resnet import ResNet
from resnet_jax.models.text import ACTIVATIONS, TextActivation, TextTransformer
from resnet_jax.types import Array, at_least_float32

MOST_LOGIT_SCALE = 80.0  # in float32 the exponential of 89 is infinite


class CLIPOutputs(NamedTuple):
    """Features of both towers before normalisation, and logits of every image with every text.

    All have at least float32. Unused entries cost nothing under jit.
    """

    image_features: Array  # [N, D]
    text_features: Array  # [M, D]
    logits: Array  # [N, M]: logit_scale times the cosine of image n and text m, plus logit_bias
    logit_scale: Array  # []: the factor, not its logarithm
    logit_bias: Array | None = None  # []; None: the net has none


class CLIP(NetAround):
    """Images [N, H, W, C], normalised floats, and tokens int [M, L] -> CLIPOutputs.

    Options of the image tower (`in_channels`, `dtype`, `bn_axis`, `drop_path`, ...) read as attributes, and `clone`
    passes them on; the text tower has its types and its `remat`. `train` and `example_index` int [N] are the image
    tower's. `encode_image` and `encode_text` run one tower: `model.apply(variables, tokens, method="encode_text")`.
    """

    image_tower: ResNet  # its logits are the image features
    embed_dim: int = 1024  # D
    text_width: int = 512
    text_heads: int = 8
    text_layers: int = 12
    text_act: TextActivation = "quick_gelu"  # as in all published weights; "gelu" is exact
    context_length: int = 77
    vocabulary_size: int = 49_408
    init_logit_scale: float = math.log(1 / 0.07)  # of the logarithm, which is the parameter (section 2.5)
    init_logit_bias: float | None = None  # None: the logits have no bias (Zhai et al. 2023 have -10)
    registry_name: str | None = field(default=None, compare=False, repr=False)  # set by `create_model`

    inner: ClassVar[str] = "image_tower"
    takes_texts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("embed_dim", "text_width", "text_heads", "text_layers", "context_length", "vocabulary_size"):
            setattr(self, name, check_integer(name, getattr(self, name), 1))
        check_choice("text_act", self.text_act, ACTIVATIONS)
        if self.text_width % self.text_heads:
            raise ValueError(f"text_heads: expected a divisor of text_width {self.text_width}, got {self.text_heads}")
        for name in ("init_logit_scale", "init_logit_bias"):
            value = getattr(self, name)
            is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if not (is_number and math.isfinite(value) or value is None and name == "init_logit_bias"):
                raise ValueError(f"{name}: expected a finite number, got {value!r}")
        if self.init_logit_scale > MOST_LOGIT_SCALE:
            expected = f"the logarithm of a factor, at most {MOST_LOGIT_SCALE:g}"
            raise ValueError(f"init_logit_scale: expected {expected}, got {self.init_logit_scale!r}")
        if self.image_tower.num_classes != self.embed_dim:
            self.image_tower = self.image_tower.clone(num_classes=self.embed_dim)
        super().__post_init__()

    def setup(self) -> None:
        self.text_tower = TextTransformer(
            features=self.embed_dim,
            width=self.text_width,
            heads=self.text_heads,
            layers=self.text_layers,
            context_length=self.context_length,
            vocabulary_size=self.vocabulary_size,
            act=self.text_act,
            remat=self.image_tower.remat,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
        )
        self.logit_scale = self.param("logit_scale", _constant(self.init_logit_scale), (), self.param_dtype)
        if self.init_logit_bias is not None:
            self.logit_bias = self.param("logit_bias", _constant(self.init_logit_bias), (), self.param_dtype)

    @property
    def num_classes(self) -> int:
        """Length of the features, which are the image tower's logits."""
        return self.embed_dim

    @nn.nowrap
    def clone(self, *, parent: Any = None, **updates: Any) -> Any:
        """`flax.linen.Module.clone`; fields of the image tower alone change there, and `num_classes` is `embed_dim`."""
        if "num_classes" in updates:
            updates["embed_dim"] = updates.pop("num_classes")
        return super().clone(parent=parent, **updates)

    def __call__(self, images: Array, tokens: Array, train: bool, example_index: Array | None = None) -> CLIPOutputs:
        image_features = self.encode_image(images, train, example_index)
        text_features = self.encode_text(tokens, train)
        wide = at_least_float32(self.param_dtype)
        scale = jnp.exp(ops.unshard(self.logit_scale).astype(wide))
        bias = None if self.init_logit_bias is None else ops.unshard(self.logit_bias).astype(wide)
        logits = scale * (ops.l2_normalize(image_features) @ ops.l2_normalize(text_features).T)
        return CLIPOutputs(image_features, text_features, logits if bias is None else logits + bias, scale, bias)

    def encode_image(self, images: Array, train: bool = False, example_index: Array | None = None) -> Array:
        """Features of images [N, H, W, C] before normalisation: [N, D]."""
        return self.image_tower(images, train, example_index).logits

    def encode_text(self, tokens: Array, train: bool = False) -> Array:
        """Features of texts int [M, L] before normalisation: [M, D]."""
        return self.text_tower(tokens, train)


def _constant(value: float) -> nn.initializers.Initializer:
    return nn.initializers.constant(value)
