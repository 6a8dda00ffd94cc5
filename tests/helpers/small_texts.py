"""Small nets of texts with the components of the registered ones, their variables and their input."""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial
from typing import Any

import jax
import numpy as np
import recipe
from flax.traverse_util import flatten_dict, unflatten_dict

from resnet_jax.models import create_model
from resnet_jax.models.sequence.adaptive_head import AdaptiveHead
from resnet_jax.models.sequence.gated import GatedConvs
from resnet_jax.models.sequence.k_max_head import KMaxHead

LENGTH, VOCABULARY, CLASSES = 72, 20, 3
TOKENS = np.random.default_rng(0).integers(0, VOCABULARY, (3, LENGTH))
SIZES = (4, 6, 8, 10)
DOUBLE = {"dtype": "float64", "param_dtype": "float64"}


def _vdcnn(name: str) -> Any:
    net = create_model(name, vocabulary_size=VOCABULARY, num_classes=CLASSES, in_channels=5, stem_features=4, **DOUBLE)
    stages = [replace(stage, features=size, depth=1) for stage, size in zip(net.stages, SIZES, strict=True)]
    stages[1] = replace(stages[1], depth=2)  # with a shortcut that keeps the shape
    return net.clone(stages=tuple(stages), head=partial(KMaxHead, k=4, hidden=7))


def _gcnn(name: str, depths: tuple[int, ...], **options: Any) -> Any:
    net = create_model(name, num_classes=VOCABULARY, in_channels=5, stem_features=6, **DOUBLE, **options)
    stages = []
    for stage, size, depth in zip(net.stages, (6, 6, 8), depths, strict=False):
        narrow = partial(GatedConvs, kernel_size=stage.block.branch.kernel_size, width=stage.block.branch.width and 5)
        stages.append(replace(stage, features=size, depth=depth, block=partial(stage.block, branch=narrow)))
    return net.clone(stages=tuple(stages))


MAKERS = {
    "vdcnn9": partial(_vdcnn, "vdcnn9"),
    "vdcnn9_shortcut": partial(_vdcnn, "vdcnn9_shortcut"),
    "gcnn14": partial(_gcnn, "gcnn14", (2, 1, 1), head=partial(AdaptiveHead, cutoffs=(6, 12), factor=2)),
    "gcnn14b": partial(_gcnn, "gcnn14b", (1, 1, 2), head=partial(AdaptiveHead, cutoffs=(9,), factor=4)),
    "gcnn8_char": partial(_gcnn, "gcnn8_char", (2,)),
}


@cache
def small_net(name: str) -> Any:
    return MAKERS[name]()


@cache
def _shapes(name: str) -> dict[tuple[str, ...], Any]:
    net = small_net(name).clone(dtype="float32", param_dtype="float32")  # tracing float64 asks for x64
    return flatten_dict(jax.eval_shape(partial(net.init, train=False), jax.random.key(0), TOKENS))


def variables(name: str) -> dict[str, Any]:
    """Weights from names and shapes, float64."""

    def sample(path: tuple[str, ...], shape: tuple[int, ...]) -> np.ndarray:
        leaf = {"mean": "running_mean", "var": "running_var"}.get(path[-1], path[-1])
        return recipe.array("/".join((*path[:-1], leaf)), shape[::-1]).transpose()

    return unflatten_dict({path: sample(path, leaf.shape) for path, leaf in _shapes(name).items()})
