"""Names of other libraries for nets of several files of the zoo, and the nets that they have.

torchvision and timm name their modules by family: their tables stand beside the nets. BiT's code and Keras store
kernels as TensorFlow does. Keras's convolutions have biases. Nets that come from Caffe take B, G and R from 0 to 255,
less the means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from resnet_jax.models.layers import BatchNorm
from resnet_jax.models.partials import Partial
from resnet_jax.models.spec import HALF, IMAGENET, ModelSpec, ModuleName, NameTable
from resnet_jax.types import Preprocess

TORCHVISION_NETS = frozenset(
    {
        *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
        *("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"),
        *(f"efficientnet_b{number}" for number in range(8)),
    }
)
TENSORFLOW = {"kernel": "/kernel", "bias": "/bias", "scale": "/gamma", "shift": "/beta"}


def in_library(models: Mapping[str, ModelSpec], names: Iterable[str], **tables: NameTable) -> dict[str, ModelSpec]:
    """`models` with these tables, by library, for the nets with these names."""
    names = frozenset(names)
    return {
        name: replace(spec, name_tables={**spec.name_tables, **tables}) if name in names else spec
        for name, spec in models.items()
    }


def in_torchvision(models: Mapping[str, ModelSpec], table: NameTable) -> dict[str, ModelSpec]:
    """`models` with torchvision's names for the nets that torchvision has."""
    return in_library(models, TORCHVISION_NETS, torchvision=table)


def _caffe(*means: float) -> Preprocess:
    """Caffe's preprocessing, with the means of R, G and B in 0 to 255."""
    return Preprocess(224, 256, tuple(mean / 255 for mean in means), (1 / 255,) * 3)


# Names of transformers' modeling_resnet.py.
TRANSFORMERS = NameTable(
    (
        ModuleName("resnet.embedder.embedder.convolution", "stem/conv"),
        ModuleName("resnet.embedder.embedder.normalization", "stem/norm"),
        ModuleName("resnet.encoder.stages.{t}.layers.{i}.shortcut.convolution", "stage{s}_block{i}/shortcut/conv"),
        ModuleName("resnet.encoder.stages.{t}.layers.{i}.shortcut.normalization", "stage{s}_block{i}/shortcut/norm"),
        ModuleName("resnet.encoder.stages.{t}.layers.{i}.layer.{l}.convolution", "stage{s}_block{i}/branch/conv{k}"),
        ModuleName("resnet.encoder.stages.{t}.layers.{i}.layer.{l}.normalization", "stage{s}_block{i}/branch/norm{k}"),
        ModuleName("classifier.1", "head/dense"),
    ),
    preprocess=Preprocess(224, 256, *IMAGENET, interpolation="bicubic"),
)
# Names of transformers' modeling_bit.py.
TRANSFORMERS_BIT = NameTable(
    (
        ModuleName("bit.embedder.convolution", "stem/conv"),
        ModuleName("bit.encoder.stages.{t}.layers.{i}.norm1", "stage{s}_block{i}/norm1"),
        ModuleName("bit.encoder.stages.{t}.layers.{i}.conv{k}", "stage{s}_block{i}/branch/conv{k}"),
        ModuleName("bit.encoder.stages.{t}.layers.{i}.norm{k}", "stage{s}_block{i}/branch/norm{k}"),
        ModuleName("bit.encoder.stages.{t}.layers.{i}.downsample.conv", "stage{s}_block{i}/shortcut/conv"),
        ModuleName("bit.norm", "head/norm"),
        ModuleName("classifier.1", "head/dense"),
    ),
    preprocess=Preprocess(448, 448, *HALF),
)
# Names in the .npz files of Kolesnikov et al. 2019, "Big Transfer".
BIT = NameTable(
    (
        ModuleName("resnet/root_block/standardized_conv2d", "stem/conv"),
        ModuleName("resnet/block{s}/unit{j:02}/a/proj/standardized_conv2d", "stage{s}_block{i}/shortcut/conv"),
        ModuleName("resnet/block{s}/unit{j:02}/a/group_norm", "stage{s}_block{i}/norm1"),
        *(
            ModuleName(f"resnet/block{{s}}/unit{{j:02}}/{letter}/{theirs}", f"stage{{s}}_block{{i}}/branch/{ours}{k}")
            for k, letter in enumerate("abc", 1)
            for theirs, ours in (("standardized_conv2d", "conv"), ("group_norm", "norm"))
        ),
        ModuleName("resnet/group_norm", "head/norm"),
        ModuleName("resnet/head/conv2d", "head/dense", is_conv1x1=True),
    ),
    leaves=TENSORFLOW,
    kernels="HWIO",
    preprocess=Preprocess(448, 448, *HALF),
)
# Names of keras.applications' resnet.py, as weights/keras_layers.py finds them in both kinds of file.
KERAS = NameTable(
    (
        ModuleName("conv1_conv", "stem/conv"),
        ModuleName("conv1_bn", "stem/norm"),
        ModuleName("conv{r}_block{j}_0_conv", "stage{s}_block{i}/shortcut/conv"),
        ModuleName("conv{r}_block{j}_0_bn", "stage{s}_block{i}/shortcut/norm"),
        ModuleName("conv{r}_block{j}_{k}_conv", "stage{s}_block{i}/branch/conv{k}"),
        ModuleName("conv{r}_block{j}_{k}_bn", "stage{s}_block{i}/branch/norm{k}"),
        ModuleName("predictions", "head/dense"),
    ),
    overrides={"norm": Partial(BatchNorm, epsilon=1.001e-5, decay=0.99)},
    leaves=TENSORFLOW | {"mean": "/moving_mean", "var": "/moving_variance"},
    kernels="HWIO",
    is_bgr=True,
    has_conv_biases=True,
    preprocess=_caffe(123.68, 116.779, 103.939),
)
# Names of detectron2's resnet.py, as its script gives them to torchvision's weights.
DETECTRON2 = NameTable(
    (
        ModuleName("stem.conv1", "stem/conv"),
        ModuleName("stem.conv1.norm", "stem/norm"),
        ModuleName("res{r}.{i}.shortcut", "stage{s}_block{i}/shortcut/conv"),
        ModuleName("res{r}.{i}.shortcut.norm", "stage{s}_block{i}/shortcut/norm"),
        ModuleName("res{r}.{i}.conv{k}", "stage{s}_block{i}/branch/conv{k}"),
        ModuleName("res{r}.{i}.conv{k}.norm", "stage{s}_block{i}/branch/norm{k}"),
        ModuleName("stem.fc", "head/dense"),
    )
)
# The same names for the weights of the paper's authors (MSRA), with which detectors of detectron2 begin.
DETECTRON2_MSRA = replace(
    DETECTRON2,
    modules=(*DETECTRON2.modules[:-1], ModuleName("linear", "head/dense")),
    is_bgr=True,
    preprocess=_caffe(123.675, 116.28, 103.53),
)
# Names of Caffe2, in which detectron2 publishes these weights. Their norms are only a factor and a shift.
CAFFE2_MSRA = replace(
    DETECTRON2_MSRA,
    modules=(
        ModuleName("conv1", "stem/conv"),
        ModuleName("res_conv1", "stem/norm"),
        *(
            ModuleName(f"res{{r}}_{{i}}_branch{theirs}", f"stage{{s}}_block{{i}}/{ours}")
            for theirs, branch in (
                ("1", "shortcut/{}"),
                ("2a", "branch/{}1"),
                ("2b", "branch/{}2"),
                ("2c", "branch/{}3"),
            )
            for ours in (branch.format("conv"), branch.format("norm"))
        ),
        ModuleName("fc1000", "head/dense"),
    ),
    leaves={"kernel": "_w", "bias": "_b", "scale": "_bn_s", "shift": "_bn_b"},
    constants={"mean": 0.0, "var": 1 - 1e-5},  # with the norm's epsilon the deviation is 1
)


def _efficientnet(theirs: Mapping[str, str]) -> NameTable:
    """Names of an EfficientNet whose blocks have one number through all stages, by ours without the branch."""
    rows = []
    for ours, name in theirs.items():
        is_outside = "/" in ours and not ours.startswith("attend")
        path = ours if is_outside else f"stage{{s}}_block{{i}}/branch/{ours}"
        rows.append(ModuleName(name, path, is_conv1x1=ours.startswith("attend")))
    return NameTable(tuple(rows))


# Names of transformers' modeling_efficientnet.py.
TRANSFORMERS_EFFICIENTNET = _efficientnet(
    {
        "stem/conv": "efficientnet.embeddings.convolution",
        "stem/norm": "efficientnet.embeddings.batchnorm",
        "conv1": "efficientnet.encoder.blocks.{n}.expansion.expand_conv",
        "norm1": "efficientnet.encoder.blocks.{n}.expansion.expand_bn",
        "conv2": "efficientnet.encoder.blocks.{n}.depthwise_conv.depthwise_conv",
        "norm2": "efficientnet.encoder.blocks.{n}.depthwise_conv.depthwise_norm",
        "attend/fc1": "efficientnet.encoder.blocks.{n}.squeeze_excite.reduce",
        "attend/fc2": "efficientnet.encoder.blocks.{n}.squeeze_excite.expand",
        "conv3": "efficientnet.encoder.blocks.{n}.projection.project_conv",
        "norm3": "efficientnet.encoder.blocks.{n}.projection.project_bn",
        "head/conv": "efficientnet.encoder.top_conv",
        "head/norm": "efficientnet.encoder.top_bn",
        "head/dense": "classifier",
    }
)
# Names of lukemelas's efficientnet_pytorch. The first stage has no expansion, and its norms have the same numbers.
LUKEMELAS = _efficientnet(
    {
        "stem/conv": "_conv_stem",
        "stem/norm": "_bn0",
        "conv1": "_blocks.{n}._expand_conv",
        "norm1": "_blocks.{n}._bn0",
        "conv2": "_blocks.{n}._depthwise_conv",
        "norm2": "_blocks.{n}._bn1",
        "attend/fc1": "_blocks.{n}._se_reduce",
        "attend/fc2": "_blocks.{n}._se_expand",
        "conv3": "_blocks.{n}._project_conv",
        "norm3": "_blocks.{n}._bn2",
        "head/conv": "_conv_head",
        "head/norm": "_bn1",
        "head/dense": "_fc",
    }
)
# Names of the usual PyTorch nets for CIFAR: akamaster's pytorch_resnet_cifar10 and kuangliu's pytorch-cifar.
AKAMASTER = NameTable(
    (
        ModuleName("conv1", "stem/conv"),
        ModuleName("bn1", "stem/norm"),
        ModuleName("layer{s}.{i}.shortcut.0", "stage{s}_block{i}/shortcut/conv"),
        ModuleName("layer{s}.{i}.shortcut.1", "stage{s}_block{i}/shortcut/norm"),
        ModuleName("layer{s}.{i}.conv{k}", "stage{s}_block{i}/branch/conv{k}"),
        ModuleName("layer{s}.{i}.bn{k}", "stage{s}_block{i}/branch/norm{k}"),
        ModuleName("linear", "head/dense"),
    ),
    preprocess=Preprocess(32, 32, *IMAGENET),
)
CIFAR10 = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
KUANGLIU = replace(AKAMASTER, preprocess=Preprocess(32, 32, *CIFAR10))
