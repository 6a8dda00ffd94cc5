"""Rows of the registry: builder, names of arrays in other libraries, preprocessing and published weights of a net."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import flax.linen as nn

from resnet_jax.models.options import check_choice
from resnet_jax.models.partials import Partial
from resnet_jax.models.published import PublishedWeights, published
from resnet_jax.types import Preprocess

MeanStd = tuple[tuple[float, ...], tuple[float, ...]]  # of R, G, B in [0, 1]
IMAGENET: MeanStd = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OPENAI: MeanStd = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALF: MeanStd = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


InputKind = Literal["images", "series", "waveform", "spectrogram", "tokens", "image-text"]
INPUT_KINDS: dict[str, str] = {  # and the arrays that such nets take
    "images": "float [N, H, W, C]",
    "series": "float [N, L, C]",
    "waveform": "float [N, L, 1], from -1 to 1",
    "spectrogram": "float [N, frames, bands, 1]",
    "tokens": "int32 [N, L], 0 is padding",
    "image-text": "float [N, H, W, C], and tokens int32 [M, L]",
}


class ModuleName(NamedTuple):
    """Name of a module in another library and here, or the whole names of one array.

    `{s}` is the stage from 1, `{t}` from 0 and `{r}` from 2; `{i}` is the block of its stage from 0, `{j}` from 1, and
    `{n}` the block of the net from 0; `{k}` is another number from 1, `{l}` the same from 0, `{p}` any other. Theirs
    may be formatted: `{j:02}`.
    """

    theirs: str  # "layer{s}.{i}.conv{k}"
    ours: str  # "stage{s}_block{i}/branch/conv{k}"
    is_conv1x1: bool = False  # their module is a 1x1 convolution, ours a dense layer
    is_as_ours: bool = False  # their matrix has our axes, (Ci, Co)
    # Their modules, in place of `{part}`, whose arrays side by side along the outputs are ours.
    parts: tuple[str, ...] = ()
    is_weight_normed: bool = False  # a 1-D convolution with the kernel g v / |v|, ours a `WeightNormConv`


# Names of the arrays of one module, by ours; "shift" is the bias of a norm.
PYTORCH = {
    "kernel": ".weight",
    "bias": ".bias",
    "scale": ".weight",
    "shift": ".bias",
    "mean": ".running_mean",
    "var": ".running_var",
    "pos_embed": "",  # its row has the whole name
}
WEIGHT_NORM = {"kernel": ".weight_v", "scale": ".weight_g", "bias": ".bias"}  # PyTorch's g is [Co, 1, 1]


@dataclass(frozen=True)
class NameTable:
    """Names that one library gives to the arrays of a net, and how it stores them.

    The first matching row of `modules` applies.
    """

    modules: tuple[ModuleName, ...]
    prefix: str = ""  # of the net's arrays; arrays without it belong to other nets in the same file and are ignored
    overrides: Mapping[str, Any] = field(default_factory=dict)  # fields of the net that differ in this library
    leaves: Mapping[str, str] = field(default_factory=lambda: PYTORCH)  # what follows the module's name
    kernels: Literal["OIHW", "HWIO"] = "OIHW"  # axes of convolutions' kernels; dense layers' have (Co, Ci) or (Ci, Co)
    is_bgr: bool = False  # the first convolution takes B, G, R
    # A convolution before a norm has a bias. Ours have none: the norm's running mean is smaller by it, which is exact.
    has_conv_biases: bool = False
    constants: Mapping[str, float] = field(default_factory=dict)  # values of arrays that the library does not store
    preprocess: Preprocess | None = None  # of this library's weights, where it differs from the row's
    classifiers: tuple[str, ...] = ("head/dense",)  # our modules that have numbers for each class
    # Names in files of older versions and what they are today, as regular expressions for a whole name and its value.
    renames: tuple[tuple[str, str], ...] = ()
    # Arrays that the library stores twice: a name, as a regular expression, and the name of the copy.
    copies: tuple[tuple[str, str], ...] = ()
    ignored: str = ""  # a regular expression for names of arrays that are no weights
    optional: tuple[str, ...] = ()  # names of arrays that not every net of this kind has
    inner_prefix: str = ""  # of the arrays of a net inside, all of whose names have it
    choices: tuple[str, ...] = ()  # fields of the net whose values the library leaves to those who load a file
    note: str = ""  # a sentence for everybody who reads this library's files


@dataclass(frozen=True)
class ModelSpec:
    """Everything the package knows about a registered net.

    `image_size` is passed to `build`, so that a table states it once.

    Raises:
      ValueError: `input_kind` is none of `INPUT_KINDS`.
    """

    build: Callable[..., nn.Module]  # called with fields of the net to override
    family: str  # "resnet", "efficientnet", ...
    # Published input side, pixels; of other kinds the size along each axis but the channels: (150,), (101, 40).
    image_size: int | tuple[int, ...] = 224
    name_tables: Mapping[str, NameTable] = field(default_factory=dict)  # by library, for those that have this net
    preprocess: Preprocess | None = None  # of the first published weights; None: no library publishes weights
    name: str = ""  # in the registry, which fills it in
    is_gated: bool = False  # whether the net is a `models.phases.Gated`
    # Of a dense net, which `build` makes from a backbone: the name of the backbone, and options that are not its own.
    backbone: str | None = None
    backbone_options: Mapping[str, Any] = field(default_factory=dict)
    takes_backbone: bool = False  # whether `backbone` is an option of `create_model`, another net or its name
    input_kind: InputKind = "images"  # what the net takes
    image_tower: str | None = None  # of a net of images and texts: the name of the net that takes the images

    @property
    def pretrained(self) -> tuple[PublishedWeights, ...]:
        """Published weights, the default first; the table is read when first used."""
        return published(self.name)

    @property
    def is_dense(self) -> bool:
        """Whether the net has predictions for places of the image: a segmenter or a detector."""
        return self.backbone is not None

    @property
    def chosen_net(self) -> str | None:
        """The option of `create_model`, and the field, with the net inside, where the caller may choose it."""
        if self.image_tower is not None:
            return "image_tower"
        return "backbone" if self.takes_backbone else None

    def __post_init__(self) -> None:
        check_choice("input_kind", self.input_kind, INPUT_KINDS)
        is_around = self.is_dense or self.image_tower is not None  # the net inside has the size
        size = {} if is_around else {"image_size": self.image_size}
        object.__setattr__(self, "build", Partial(self.build, **size))
