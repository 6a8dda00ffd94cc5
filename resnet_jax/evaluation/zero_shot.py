"""CLIP as a classifier of classes that are named by texts (Radford et al. 2021, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from resnet_jax import ops
from resnet_jax.models.inspect import has_texts
from resnet_jax.models.zero_shot import ZeroShotClassifier
from resnet_jax.text import caption_key
from resnet_jax.texts.clip.prompts import TEMPLATE, check_names, check_templates
from resnet_jax.types import Pretrained

BATCH = 256  # texts at a time
STEP = 8  # lengths of texts are multiples of it

Tokenize = Callable[[Sequence[str]], np.ndarray]  # texts -> int32 [N, context]


def zero_shot_classifier(
    net: Pretrained, tokenize: Tokenize, names: Sequence[str], templates: Sequence[str] = (TEMPLATE,)
) -> Pretrained:
    """A classifier of images whose classes have these names; its norms may be folded as any net's.

    The features of a class are the mean over the templates of the features of length 1 of its prompts, again of length
    1 (section 3.1.4, "prompt engineering and ensembling").

    Raises:
      ValueError: `net` is no CLIP, as `check_names` and `check_templates`, or different names have the same tokens.
    """
    if not has_texts(net.model):
        raise ValueError(f"expected a net of images and texts, such as clip_resnet50, got {net.name}")
    check_names(names)
    check_templates(templates)
    tokens = tokenize([template.replace("{}", name) for name in names for template in templates])
    for place, template in enumerate(templates):
        _check_distinct(tokens[place :: len(templates)], names, template)
    features = _features(net, tokens).reshape(len(names), len(templates), -1).mean(1)
    features /= np.linalg.norm(features, axis=-1, keepdims=True)
    model: Any = net.model
    params = dict(net.variables["params"])
    scale = np.exp(np.asarray(params["logit_scale"], features.dtype))
    params = {"image_tower": params["image_tower"], "classes": {"kernel": np.ascontiguousarray(scale * features.T)}}
    others = {name: {"image_tower": tree["image_tower"]} for name, tree in net.variables.items() if name != "params"}
    classifier = ZeroShotClassifier(image_tower=model.image_tower, num_classes=len(names))
    return net._replace(model=classifier, variables={"params": params, **others}, classes=tuple(names))


def _check_distinct(tokens: np.ndarray, names: Sequence[str], template: str) -> None:
    """Raises ValueError for different names whose prompts have the same tokens, int [N, T]."""
    names_of: dict[bytes, str] = {}
    for name, row in zip(names, tokens, strict=True):
        other = names_of.setdefault(row.tobytes(), name)
        if other != name:
            why = "their prompts have the same tokens"
            if caption_key(other) == caption_key(name):
                why = "they differ in case and spaces alone"
            elif row[-1]:  # no padding
                why = f"prompts of the template {template!r} are cut behind {len(row)} tokens"
            raise ValueError(f"expected labels of different tokens, got {other[:99]!r} and {name[:99]!r}; {why}")


def text_features(net: Pretrained, tokenize: Tokenize, texts: Sequence[str]) -> np.ndarray:
    """Features of length 1 of texts, float [N, D]; one program is compiled.

    Texts are cut behind the end of the longest one, which changes no features.
    """
    return _features(net, tokenize(texts))


def _features(net: Pretrained, tokens: np.ndarray) -> np.ndarray:
    """`text_features` of texts with these tokens, int32 [N, T]."""
    length = int(tokens.argmax(1).max()) + 1
    tokens = tokens[:, : min(-(-length // STEP) * STEP, tokens.shape[1])]
    batch = min(BATCH, len(tokens))
    variables = jax.device_put(net.variables)

    @jax.jit
    def encode(variables: Any, tokens: jax.Array) -> jax.Array:
        return ops.l2_normalize(jnp.asarray(net.model.apply(variables, tokens, method="encode_text")))

    parts = []
    for first in range(0, len(tokens), batch):
        some = tokens[first : first + batch]
        padded = np.concatenate([some, np.repeat(some[-1:], batch - len(some), 0)])
        parts.append(np.asarray(encode(variables, padded))[: len(some)])
    return np.concatenate(parts)
