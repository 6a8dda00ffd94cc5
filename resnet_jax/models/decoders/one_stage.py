"""What detectors without proposals share: towers of convolutions on every level, and the choice of detections.

A is the number of anchors of all levels, in the order of levels, rows, columns, anchors of one place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax import ops
from resnet_jax.models.context import Activation, BlockContext
from resnet_jax.models.decoders.detector import Detections, Detector
from resnet_jax.models.layers import BiasedConv, GroupNorm
from resnet_jax.models.options import check_anchor_sizes, check_integer
from resnet_jax.models.partials import Partial
from resnet_jax.ops.boxes import batched_nms, clip_boxes, make_anchors
from resnet_jax.types import Array, at_least_float32

SMALL = nn.initializers.normal(0.01)
# Of an output's convolution: a class has a probability of 0.01 at first (Lin et al. 2017, section 4.1).
INITIAL_BIAS = {"cls_logits": -math.log(99)}


class Tower(nn.Module):
    """3x3 convolutions, and one for each output: levels [N, h, w, C] -> per output [N, h * w * a, channels] by level.

    The same weights serve every level. Outputs are at least float32.
    """

    context: BlockContext
    outputs: Mapping[str, int]  # channels for each of the `anchors`
    anchors: int = 1  # a: of one place
    depth: int = 4
    groups: int | None = None  # of a group norm after each convolution; None: no norm
    has_biases: bool = True  # whether convolutions before a norm have a bias

    @nn.compact
    def __call__(self, levels: Sequence[Array]) -> dict[str, list[Array]]:
        context = replace(self.context, make_norm=Partial(GroupNorm, groups=self.groups))
        biased = replace(context, make_conv=BiasedConv)
        inner = biased if self.groups is None or self.has_biases else context
        features, numbers = levels[0].shape[-1], range(1, self.depth + 1)
        convs = [inner.conv(features, 3, kernel_init=SMALL, name=f"conv{number}") for number in numbers]
        norms: list[Activation] = [lambda x: x] * self.depth
        if self.groups is not None:
            norms = [context.norm(name=f"norm{number}") for number in numbers]
        heads = {
            name: biased.conv(
                channels * self.anchors,
                3,
                kernel_init=SMALL,
                bias_init=nn.initializers.constant(INITIAL_BIAS.get(name, 0.0)),
                name=name,
            )
            for name, channels in self.outputs.items()
        }
        outputs: dict[str, list[Array]] = {name: [] for name in heads}
        for x in levels:
            for conv, norm in zip(convs, norms, strict=True):
                x = ops.relu(norm(conv(x)))
            for name, head in heads.items():
                y = head(x).astype(at_least_float32(x.dtype))
                outputs[name].append(y.reshape(len(x), -1, self.outputs[name]))
        return outputs


class OneStageDetector(Detector):
    """A detector whose head gives classes and boxes for every anchor of every level."""

    levels: tuple[str, ...] = ("stage2", "stage3", "stage4", "p6", "p7")
    head_depth: int = 4  # convolutions before each output
    head_groups: int | None = None  # of group norms in the head; None: no norms
    # Square roots of the anchors' areas, pixels, for each level; None: in proportion to the levels' strides.
    anchor_sizes: tuple[tuple[float, ...], ...] | None = None
    score_thresh: float = 0.05  # detections have higher scores
    nms_thresh: float = 0.5  # of two boxes of one class with a higher IoU, the one with the lower score is dropped
    detections_per_img: int = 300
    topk_candidates: int = 1000  # of each level, before the suppression

    def __post_init__(self) -> None:
        if self.anchor_sizes is not None:
            self.anchor_sizes = check_anchor_sizes(self.anchor_sizes)
        if self.head_groups is not None:
            self.head_groups = check_integer("head_groups", self.head_groups, 1)
        super().__post_init__()
        if self.head_groups is not None and self.fpn_features % self.head_groups:
            nearest = math.gcd(self.fpn_features, self.head_groups)
            problem = f"expected a divisor of fpn_features {self.fpn_features}, got {self.head_groups}"
            raise ValueError(f"head_groups: {problem}; did you mean {nearest}?")
        if self.anchor_sizes is not None and len(self.anchor_sizes) != len(self.levels):
            raise ValueError(
                f"anchor_sizes: expected sizes for each of the {len(self.levels)} levels, got {self.anchor_sizes}"
            )

    @nn.nowrap
    def sizes_by_level(self) -> tuple[tuple[float, ...], ...]:
        """Square roots of the anchors' areas on each level, pixels."""
        return self.anchor_sizes or tuple(map(self.default_sizes, self.level_strides().values()))

    @nn.nowrap
    def default_sizes(self, stride: int) -> tuple[float, ...]:
        """Square roots of the anchors' areas, pixels, on a level of this stride."""
        raise NotImplementedError

    @nn.nowrap
    def anchors(
        self, levels: Sequence[Array], canvas: tuple[int, int], ratios: tuple[float, ...] = (1.0,)
    ) -> list[Array]:
        """Anchors of each level, [h * w * a, 4] in pixels of the canvas."""
        shapes, sizes = [(x.shape[1], x.shape[2]) for x in levels], self.sizes_by_level()
        dtype = at_least_float32(levels[0].dtype)
        return make_anchors(canvas, shapes, sizes, [ratios] * len(levels), dtype=dtype)

    @nn.nowrap
    def select(
        self,
        scores: Sequence[Array],
        codes: Sequence[Array],
        anchors: Sequence[Array],
        sizes: Array,
        decode: Callable[[Array, Array], Array],
    ) -> Detections:
        """The detections of a batch, as torchvision chooses them.

        On each level the `topk_candidates` highest scores above the threshold; of the boxes of all levels those that
        no better one of their class suppresses, `detections_per_img` at most.

        Args:
          scores: by level [N, A of the level, K].
          codes: by level [N, A of the level, 4]; `anchors` are [A of the level, 4].
          decode: (codes [k, 4], anchors [k, 4]) -> boxes [k, 4].
        """

        def detect(scores: list[Array], codes: list[Array], size: Array) -> tuple[Array, ...]:
            candidates: list[tuple[Array, ...]] = []
            for level, values in enumerate(scores):
                count = min(self.topk_candidates, values.size)
                best, index = lax.top_k(values.reshape(-1), count)  # of equal ones the first
                anchor, labels = jnp.divmod(index, values.shape[-1])
                boxes = clip_boxes(decode(codes[level][anchor], anchors[level][anchor]), size)
                candidates.append((boxes, best, labels))
            boxes, best, labels = (jnp.concatenate(values) for values in zip(*candidates, strict=True))
            valid, count = best > self.score_thresh, self.detections_per_img
            index, stays = batched_nms(boxes, best, labels, self.nms_thresh, valid, count)
            boxes = jnp.where(stays[:, None], boxes[index], 0)
            return boxes, *(jnp.where(stays, x[index], 0) for x in (best, labels)), stays

        boxes, best, labels, valid = jax.vmap(detect)(list(scores), list(codes), sizes)
        return Detections(boxes, best, labels, None, valid)
