"""Writes the counts of every net: python docs/tables.py

They go into resnet_jax/cli/counts.json, which `resnet-jax models` reads, and into docs/networks.md, between its two
markers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from resnet_jax import get_spec, list_models, summary
from resnet_jax.analysis.summary import totals
from resnet_jax.cli.counts import Counts, counts_text
from resnet_jax.models.inspect import spatial_sizes

PAGE = Path(__file__).parent / "networks.md"
COUNTS = Path(__file__).parents[1] / "resnet_jax" / "cli" / "counts.json"
BEGIN, END = "<!-- tables -->\n", "<!-- end of tables -->"

GROUPS = (  # title, what the nets are, pattern of their names; a net is in the first group that matches
    ("ResNet", "He et al. 2015, as torchvision and timm build them (v1.5): the stride is in the 3x3 convolution.",
     r"resnet(18|34|50|101|152)"),
    ("ResNet as in the paper", "`_v1` has the stride in the first 1x1 convolution. `_a`, `_b`, `_c` are the shortcut "
     "options of the paper: zero padding, projection where shapes change, projection everywhere.",
     r"resnet\d+_(v1|a|b|c)"),
    ("Bag of Tricks", "He et al. 2018: C has a deep stem, D also has pooled shortcuts, T has a tiered stem.",
     r"resnet\d+[cdt]"),
    ("Anti-aliased, ResNet-RS, GroupNorm", "Average or blur pooling before strides; Bello et al. 2021; group norms.",
     r"resnet(aa|blur|rs)\w+|resnet50_gn"),
    ("ResNeXt and wide ResNet", "Xie et al. 2017; Zagoruyko and Komodakis 2016.", r"resnext\w+|wide_resnet\w+"),
    ("Channel attention", "Squeeze-excite (SE), efficient channel attention (ECA), selective kernels (SK).",
     r"(se|eca|sk)resne[x]?t\w+"),
    ("Res2Net", "Gao et al. 2019.", r"res2ne[x]?t\w+"),
    ("Pre-activation and BiT", "He et al. 2016; Kolesnikov et al. 2019 (`_bit`).", r"resnetv2_\w+"),
    ("CLIP's image towers", "Radford et al. 2021. The logits are the image embedding.", r"resnet\w+_clip"),
    ("EfficientNet", "Tan and Le 2019, with PyTorch's padding; `tf_` with TensorFlow's; `cc` with CondConv, "
     "whose counts include the making of a kernel for each image.",
     r"(tf_)?efficientnet_\w+"),
    ("SkipNet", "Wang et al. 2018: each image runs or skips each block; recurrent gates.", r"skipnet\d+"),
    ("Plain nets", "The stages of ResNet without shortcuts.", r"plain\d+"),
    ("CIFAR ResNet", "He et al. 2015, section 4.2, for 32 x 32 pixels, with shortcut option A; also `_a`, `_b`, `_c`. "
     "`cifar_resnet8` is a small net for tests and distillation.", r"cifar_resnet\d+(_[abc])?"),
    ("CIFAR pre-activation and wide nets", "He et al. 2016; Zagoruyko and Komodakis 2016.",
     r"cifar_(preresnet\d+|wrn\w+)"),
    ("CIFAR SkipNet", "Feed-forward gates; `_rnn` has recurrent gates. Twins: `cifar_resnet38`, `74`, `110`.",
     r"cifar_skipnet\w+"),
    ("CIFAR Highway, CondConv, Res2Net", "Srivastava et al. 2015; Yang et al. 2019; Gao et al. 2019. Twins: "
     "`cifar_resnet20` and `cifar_resnet29`. The count of `cifar_condconv20` includes the making of a kernel for "
     "each image.", r"cifar_(highway\d+|condconv20|res2net29)"),
    ("CIFAR plain nets", "The CIFAR ResNets without shortcuts.", r"cifar_plain\d+"),
    ("Segmentation", "torchvision's nets, with the auxiliary head (Long et al. 2015; Chen et al. 2017). `fcn` and "
     "`deeplabv3` are on any backbone, here on `resnet50`.", r"(fcn|deeplabv3)(_resnet\d+)?"),
    ("Segmentation on any backbone", "Decoders of segmentation_models_pytorch (Chen et al. 2018; Zhao et al. 2017; "
     "Xiao et al. 2018; Ronneberger et al. 2015), here on `resnet34`.", r"deeplabv3plus|pspnet|upernet|unet"),
    ("Detection", "torchvision's nets. Those without a backbone's name are on any backbone, here on `resnet50`.",
     r"(retinanet|fcos|fasterrcnn|maskrcnn)(_resnet50_fpn(_v2)?)?"),
)  # fmt: skip
OF_PAIRS = (
    ("CLIP", "Radford et al. 2021: an image tower and a text tower. `create_model` takes the options of `CLIP` "
     "(`embed_dim`, `text_width`, ...) and those of the image tower. The input is an image and 77 tokens.",
     r"clip_\w+"),
)  # fmt: skip
OF_SEQUENCES = (  # the same of nets that do not take images
    ("Time series", "Series `[N, L, C]`, here with one channel and two classes (`tcn`: ten). `tsc_`: Wang, Yan "
     "and Oates 2017; Ismail Fawaz et al. 2020; `xresnet1d`: He et al. 2018 in one dimension, as in fastai and tsai; "
     "`tcn`: Bai, Kolter and Koltun 2018. The input is in steps.", r"tsc_\w+|inception_time|xresnet1d\d+|tcn"),
    ("Waveforms", "Dai et al. 2016, with ten classes. The input is in samples, `[N, L, 1]`: four seconds at 8 kHz.",
     r"m\d+(_res)?"),
    ("Keywords", "Tang and Lin 2018, with twelve commands. The input is in frames and MFCC, `[N, frames, bands, 1]`.",
     r"res\d+(_narrow)?"),
    ("Speakers", "Cai et al. 2018 with the statistics pooling of Snyder et al. 2018; `speaker_seresnet34`: "
     "speechbrain's. Both have 1,211 speakers. The input is in frames and mel bands.", r"speaker_\w+"),
    ("Speech recognition", "QuartzNet, Kriman et al. 2019, with 28 letters and the blank of the CTC loss; "
     "`quartznet5x2_small` is a small one, which is in no paper. The input is in frames and mel bands.",
     r"quartznet\w+"),
    ("Classes of texts", "VDCNN, Conneau et al. 2017, plain and with shortcuts, with four classes. The input is in "
     "characters, `[N, L]`.", r"vdcnn\d+(_shortcut)?"),
    ("Language models", "Gated convolutional nets, Dauphin et al. 2017, with the vocabularies of their corpora; "
     "`gcnn8_char` is a small one for characters, which is in no paper. The input is in tokens, `[N, L]`.",
     r"gcnn\w+"),
)  # fmt: skip


def groups() -> dict[str, list[str]]:
    """Names of nets by the title of their group.

    Raises:
      ValueError: a registered net is in no group.
    """
    names: dict[str, list[str]] = {
        title: [] for title, _, _ in GROUPS + OF_PAIRS + OF_SEQUENCES
    }
    for name in list_models(input_kind="any"):
        kind = get_spec(name).input_kind
        of_kind = {"images": GROUPS, "image-text": OF_PAIRS}.get(kind, OF_SEQUENCES)
        title = next(
            (title for title, _, pattern in of_kind if re.fullmatch(pattern, name)),
            None,
        )
        if title is None:
            raise ValueError(
                f"expected a group for {name}, got none; add one to GROUPS in {__file__}"
            )
        names[title].append(name)
    return names


@cache
def counts_of(name: str) -> Counts:
    """Traces the net."""
    total, spec = totals(name).total, get_spec(name)
    sizes = list(spatial_sizes(spec.image_size))
    return Counts(
        name,
        spec.input_kind,
        sizes,
        total.parameters,
        total.macs,
        total.other_macs,
    )


def counts() -> str:
    """Current text of counts.json."""
    return counts_text([counts_of(name) for name in list_models(input_kind="any")])


def row(name: str) -> str:
    counts = counts_of(name)
    millions, parameters = counts.macs / 1e6, counts.parameters
    macs = f"{millions / 1000:.2f} G" if millions >= 1000 else f"{millions:.1f} M"
    return f"| `{name}` | {parameters:,} | {macs} | {size(name)} |"


def size(name: str) -> str:
    """Of the published input: a side in pixels, or the length of each axis."""
    sides = get_spec(name).image_size
    return (
        str(sides)
        if isinstance(sides, int)
        else " x ".join(f"{n:,}" for n in sides)
    )


def table(title: str, text: str, names: list[str]) -> Iterator[str]:
    yield f"### {title}\n\n{text}\n\n| name | parameters | multiply-adds | input |\n|---|---:|---:|---:|"
    yield from map(row, names)
    yield ""


def tables() -> Iterator[str]:
    """The lines between the markers."""
    yield f"The package has {len(list_models())} nets of images. The columns are parameters, multiply-adds for one"
    yield "image, and the side of the published input in pixels; every net takes other sizes too.\n"
    members = groups()
    for title, text, _ in GROUPS:
        yield from table(title, text, members[title])
    pairs = list_models(input_kind="image-text")
    others = len(list_models(input_kind="any")) - len(list_models()) - len(pairs)
    yield "## Nets of images and texts\n"
    for title, text, _ in OF_PAIRS:
        yield from table(title, text, members[title])
    yield "## Nets of series, sounds and texts\n"
    yield f"These {others} nets take inputs of other lengths, too, and examples of unequal lengths with `lengths`, int"
    yield "`[N]`: see [Beyond images](beyond_images.md). Nets of images take spectrograms with `in_channels=1`."
    yield '`list_models(input_kind="any")` lists all nets.\n'
    for title, text, _ in OF_SEQUENCES:
        yield from table(title, text, members[title])
    yield '## Counts of one net\n\n`print(summary("resnet50"))` prints the counts by stage:\n'
    yield f"```text\n{summary('resnet50')}\n```\n"


def page(old: str) -> str:
    """`old` with current tables."""
    before, after = old.split(BEGIN)[0], old.split(END)[1]
    return "\n".join([before + BEGIN, *tables()]) + END + after


if __name__ == "__main__":
    COUNTS.write_text(counts())
    PAGE.write_text(page(PAGE.read_text()))
