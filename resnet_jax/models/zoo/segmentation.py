"""Segmentation nets: torchvision's by their names, and decoders on any backbone.

Names and numbers of `fcn`, `deeplabv3` and their rows are torchvision's; of `deeplabv3plus`, `pspnet`, `upernet` and
`unet` those of segmentation_models_pytorch 0.6 (here "smp") on its ResNet encoders, with its default options.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnet_jax.models.decoders.deeplab import DeepLabV3, DeepLabV3Plus
from resnet_jax.models.decoders.fcn import FCN
from resnet_jax.models.decoders.pyramid import PSPNet, UPerNet
from resnet_jax.models.decoders.unet import UNet
from resnet_jax.models.spec import IMAGENET, ModelSpec, ModuleName, NameTable
from resnet_jax.models.zoo.imagenet import TIMM_MODULES, TORCHVISION_MODULES
from resnet_jax.types import Preprocess

# As in torchvision the shorter side has 520 pixels, unless the longer one then has more than 800.
TRANSFORM = Preprocess(800, 520, *IMAGENET, crop_mode="pad")
CLASSIFIERS = ("decoder/classifier", "auxiliary/classifier")


def below(prefix: str, modules: tuple[ModuleName, ...]) -> tuple[ModuleName, ...]:
    """Names of a backbone's modules inside a dense net, which the library calls `prefix`."""
    return tuple(ModuleName(f"{prefix}.{row.theirs}", f"backbone/{row.ours}", row.is_conv1x1) for row in modules)


def _conv_norm(theirs: str, ours: str, suffix: str = "") -> tuple[ModuleName, ...]:
    """A convolution and its norm, numbers 0 and 1 of a sequence."""
    return (
        ModuleName(f"{theirs}.0", f"{ours}/conv{suffix}"),
        ModuleName(f"{theirs}.1", f"{ours}/norm{suffix}"),
    )


def _pyramid_of_dilations(theirs: str, *, separable: bool) -> tuple[ModuleName, ...]:
    ours = "decoder/aspp"
    depthwise = ModuleName(f"{theirs}.convs.{{p}}.0.0", f"{ours}/depthwise{{p}}")
    first = ModuleName(f"{theirs}.convs.0.0", f"{ours}/conv0")
    pointwise = ModuleName(f"{theirs}.convs.{{p}}.0.1", f"{ours}/conv{{p}}")
    return (
        *((depthwise, first, pointwise) if separable else ()),
        *_conv_norm(f"{theirs}.convs.{{p}}", ours, "{p}"),
        ModuleName(f"{theirs}.convs.4.1", f"{ours}/pool_conv"),
        ModuleName(f"{theirs}.convs.4.2", f"{ours}/pool_norm"),
        ModuleName(f"{theirs}.project.0", f"{ours}/project_conv"),
        ModuleName(f"{theirs}.project.1", f"{ours}/project_norm"),
    )


def _fcn_head(theirs: str, ours: str) -> tuple[ModuleName, ...]:
    return (*_conv_norm(theirs, ours), ModuleName(f"{theirs}.4", f"{ours}/classifier"))


FCN_MODULES = (*_fcn_head("classifier", "decoder"), *_fcn_head("aux_classifier", "auxiliary"))
DEEPLAB_MODULES = (
    *_pyramid_of_dilations("classifier.0", separable=False),
    ModuleName("classifier.1", "decoder/conv"),
    ModuleName("classifier.2", "decoder/norm"),
    ModuleName("classifier.4", "decoder/classifier"),
    *_fcn_head("aux_classifier", "auxiliary"),
)
SMP_CLASSIFIER = ModuleName("segmentation_head.0", "decoder/classifier")
DEEPLAB_PLUS_MODULES = (
    *_pyramid_of_dilations("decoder.aspp.0", separable=True),
    ModuleName("decoder.aspp.1.0", "decoder/depthwise"),
    ModuleName("decoder.aspp.1.1", "decoder/conv"),
    ModuleName("decoder.aspp.2", "decoder/norm"),
    ModuleName("decoder.block1.0", "decoder/skip_conv"),
    ModuleName("decoder.block1.1", "decoder/skip_norm"),
    ModuleName("decoder.block2.0.0", "decoder/depthwise_fuse"),
    ModuleName("decoder.block2.0.1", "decoder/conv_fuse"),
    ModuleName("decoder.block2.1", "decoder/norm_fuse"),
    SMP_CLASSIFIER,
)
PSP_MODULES = (
    *_conv_norm("decoder.psp.blocks.{l}.pool.1", "decoder/pyramid/level{k}"),
    *_conv_norm("decoder.conv", "decoder"),
    SMP_CLASSIFIER,
)
UPER_MODULES = (
    ModuleName("decoder.feature_norms.{l}", "decoder/map_norm{k}"),
    *_conv_norm("decoder.psp.blocks.{l}.1", "decoder/pyramid/level{k}"),
    *_conv_norm("decoder.psp.out_conv", "decoder/pyramid_fuse"),
    *_conv_norm("decoder.fpn_lateral_blocks.{l}.conv_norm_relu", "decoder/lateral{k}"),
    *_conv_norm("decoder.fpn_conv_blocks.{l}", "decoder/output{k}"),
    *_conv_norm("decoder.fusion_block", "decoder/fuse"),
    SMP_CLASSIFIER,
)
UNET_MODULES = (
    *_conv_norm("decoder.blocks.{l}.conv1", "decoder/block{k}", "1"),
    *_conv_norm("decoder.blocks.{l}.conv2", "decoder/block{k}", "2"),
    SMP_CLASSIFIER,
)


def _torchvision(build: Any, modules: tuple[ModuleName, ...], backbone: str | None = None) -> ModelSpec:
    """A row of torchvision's net on this backbone; None: on any, by default on the first of torchvision's."""
    of_backbone = TIMM_MODULES if backbone is None else TORCHVISION_MODULES
    table = NameTable((*below("backbone", of_backbone), *modules), classifiers=CLASSIFIERS)
    return ModelSpec(
        build,
        "segmentation",
        TRANSFORM.resize,
        {"torchvision": table},
        TRANSFORM,
        backbone=backbone or "resnet50",
        backbone_options={"output_stride": 8},
        takes_backbone=backbone is None,
    )


def _smp(build: Any, modules: tuple[ModuleName, ...], options: Mapping[str, Any] | None = None) -> ModelSpec:
    """A row of segmentation_models_pytorch's net on any backbone."""
    table = NameTable((*below("encoder", TIMM_MODULES), *modules), classifiers=CLASSIFIERS[:1])
    return ModelSpec(
        build,
        "segmentation",
        512,
        {"smp": table},
        Preprocess(512, 512, *IMAGENET, crop_mode="pad"),
        backbone="resnet34",
        backbone_options=options or {},
        takes_backbone=True,
    )


MODELS = {
    "fcn": _torchvision(FCN, FCN_MODULES),
    "fcn_resnet50": _torchvision(FCN, FCN_MODULES, "resnet50"),
    "fcn_resnet101": _torchvision(FCN, FCN_MODULES, "resnet101"),
    "deeplabv3": _torchvision(DeepLabV3, DEEPLAB_MODULES),
    "deeplabv3_resnet50": _torchvision(DeepLabV3, DEEPLAB_MODULES, "resnet50"),
    "deeplabv3_resnet101": _torchvision(DeepLabV3, DEEPLAB_MODULES, "resnet101"),
    "deeplabv3plus": _smp(DeepLabV3Plus, DEEPLAB_PLUS_MODULES, {"output_stride": 16, "dilation": "smp"}),
    "pspnet": _smp(PSPNet, PSP_MODULES),
    "upernet": _smp(UPerNet, UPER_MODULES),
    "unet": _smp(UNet, UNET_MODULES),
}
