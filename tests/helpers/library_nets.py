"""Small nets of other libraries, and golden numbers of theirs: arrays by the recipe, logits in float64.

`PYTHONPATH=tests/helpers python tests/helpers/library_nets.py` writes tests/golden/libraries.*, which
tests/golden/README.md explains, with transformers, keras, timm, torchvision and efficientnet_pytorch.
"""

from __future__ import annotations

import gzip
import json
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from unittest import mock

import numpy as np
import recipe

KEYS, LOGITS = recipe.GOLDEN / "libraries.json.gz", recipe.GOLDEN / "libraries.npz"
CLASSES = 7
# The net here, with one block a stage, of each small net there.
OURS = {
    "transformers-resnet18": "resnet18",
    "transformers-resnet50": "resnet50",
    "transformers-bit50": "resnetv2_50x1_bit",
    "transformers-efficientnet": "tf_efficientnet_b0",
    "lukemelas-efficientnet": "tf_efficientnet_b0",
    "bit-r50x1": "resnetv2_50x1_bit",
    "keras-resnet50": "resnet50_v1",
    "detectron2-torchvision": "resnet50",
    "detectron2-msra": "resnet50_v1",
    "caffe2-msra": "resnet50_v1",
    "akamaster-a": "cifar_resnet20",
    "akamaster-b": "cifar_resnet20_b",
    "kuangliu-resnet18": "cifar_resnet18",
}


def images(name):
    """Normalised images, as the library takes them but for the order of axes: float64 [2, 3, S, S]."""
    size = 32 if OURS[name].startswith("cifar") else 64
    return np.random.default_rng(0).standard_normal((2, 3, size, size))


def state(keys):
    """The recipe's arrays; those with kernels [H, W, Ci, Co] are sampled as PyTorch has them."""

    def sample(name, shape):
        if name.endswith("/kernel") and len(shape) == 4:
            return recipe.array(name, (shape[3], shape[2], *shape[:2])).transpose(2, 3, 1, 0)
        return np.asarray(recipe.array(name, tuple(shape)))

    return {name: sample(name, shape) for name, shape in keys}


def golden():
    """{name of a net: [[name, shape], ...]} of small and whole nets, and the logits of small ones."""
    keys = json.loads(gzip.decompress(KEYS.read_bytes()))
    return SimpleNamespace(**keys, logits=np.load(LOGITS))


# The libraries' nets: each function returns names and shapes, and a function from arrays and images to logits.


def _torch(net, output=lambda y: y):
    import torch

    keys = [(name, list(x.shape)) for name, x in net.state_dict().items() if not name.endswith("num_batches_tracked")]

    def logits(arrays, x):
        arrays = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        net.double().eval()
        net.load_state_dict(net.state_dict() | arrays, strict=True)
        with torch.no_grad():
            return output(net(torch.from_numpy(np.ascontiguousarray(x)))).numpy()

    return keys, logits


def transformers_resnet(layer_type="bottleneck", depths=(1, 1, 1, 1), classes=CLASSES):
    from transformers import ResNetConfig, ResNetForImageClassification

    widths = [64, 128, 256, 512] if layer_type == "basic" else [256, 512, 1024, 2048]
    config = ResNetConfig(hidden_sizes=widths, depths=list(depths), layer_type=layer_type, num_labels=classes)
    return _torch(ResNetForImageClassification(config), lambda y: y.logits)


def transformers_bit(depths=(1, 1, 1, 1), classes=CLASSES):
    from transformers import BitConfig, BitForImageClassification

    return _torch(BitForImageClassification(BitConfig(depths=list(depths), num_labels=classes)), lambda y: y.logits)


def transformers_efficientnet(repeats=(1,) * 7, classes=CLASSES, width=1.0, depth=1.0, hidden=1280):
    from transformers import EfficientNetConfig, EfficientNetForImageClassification

    scales = {"width_coefficient": width, "depth_coefficient": depth, "hidden_dim": hidden}
    config = EfficientNetConfig(num_block_repeats=list(repeats), num_labels=classes, **scales)
    return _torch(EfficientNetForImageClassification(config), lambda y: y.logits)


def lukemelas(name="efficientnet-b0", repeats=1, classes=CLASSES, **options):
    from efficientnet_pytorch import EfficientNet
    from efficientnet_pytorch.utils import get_model_params

    blocks, options = get_model_params(name, {"num_classes": classes, **options})
    blocks = [block._replace(num_repeat=repeats or block.num_repeat) for block in blocks]
    return _torch(EfficientNet(blocks, options))


def bit_npz(depths=(1, 1, 1, 1), classes=CLASSES):
    """timm's net, filled by timm's reader of BiT's files."""
    import tempfile

    import torch
    from timm.layers import StdConv2d
    from timm.models.resnetv2 import ResNetV2, _load_weights

    net = ResNetV2(layers=depths, num_classes=classes, conv_layer=partial(StdConv2d, eps=1e-8), stem_type="fixed")
    shapes = {name: list(x.shape) for name, x in net.state_dict().items()}
    keys = [("resnet/root_block/standardized_conv2d/kernel", "stem.conv.weight")]
    for s, depth in enumerate(depths):
        for i in range(depth):
            unit, block = f"resnet/block{s + 1}/unit{i + 1:02d}", f"stages.{s}.blocks.{i}"
            for k, letter in enumerate("abc", 1):
                keys.append((f"{unit}/{letter}/standardized_conv2d/kernel", f"{block}.conv{k}.weight"))
                keys.append((f"{unit}/{letter}/group_norm/gamma", f"{block}.norm{k}.weight"))
                keys.append((f"{unit}/{letter}/group_norm/beta", f"{block}.norm{k}.bias"))
            if i == 0:
                keys.append((f"{unit}/a/proj/standardized_conv2d/kernel", f"{block}.downsample.conv.weight"))
    keys += [("resnet/group_norm/gamma", "norm.weight"), ("resnet/group_norm/beta", "norm.bias")]
    keys += [("resnet/head/conv2d/kernel", "head.fc.weight"), ("resnet/head/conv2d/bias", "head.fc.bias")]
    axes = {4: (2, 3, 1, 0), 1: (0,)}
    keys = [(theirs, [shapes[name][axis] for axis in axes[len(shapes[name])]]) for theirs, name in keys]

    def logits(arrays, x):
        net.double().eval()
        with tempfile.NamedTemporaryFile(suffix=".npz") as file, torch.no_grad():
            np.savez(file.name, **arrays)
            _load_weights(net, file.name)
            return net(torch.from_numpy(x)).numpy()

    return keys, logits


@contextmanager
def keras_in_float64():
    """Keras on JAX in float64: its norms and means would be computed in float32."""
    import jax
    import keras
    from keras.src import backend

    before, policy = keras.config.floatx(), keras.config.dtype_policy()
    in_float64 = partial(mock.patch.object, attribute="result_type", new=lambda *dtypes: "float64")
    with in_float64(backend), in_float64(backend.common.dtypes), jax.numpy_rank_promotion("allow"):
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
        try:
            yield
        finally:
            keras.config.set_floatx(before)
            keras.config.set_dtype_policy(policy)


def keras_resnet(blocks=(1, 1, 1, 1), classes=CLASSES):
    """keras.applications' net, with the order of its channels as it is: B, G, R."""
    from keras.src.applications import resnet

    def stages(x):
        for s, depth in enumerate(blocks):
            x = resnet.stack_residual_blocks_v1(x, 64 * 2**s, depth, stride1=1 if s == 0 else 2, name=f"conv{s + 2}")
        return x

    options = {"weights": None, "classes": classes, "classifier_activation": None}
    with keras_in_float64():
        net = resnet.ResNet(stages, False, True, input_shape=(64, 64, 3), name="resnet", weights_name=None, **options)
    keys = [(f"{layer.name}/{v.name}", list(v.shape)) for layer in net.layers for v in layer.weights]

    def logits(arrays, x):
        for layer in net.layers:
            layer.set_weights([arrays[f"{layer.name}/{v.name}"] for v in layer.weights])
        with keras_in_float64():
            return np.asarray(net(np.ascontiguousarray(x.transpose(0, 2, 3, 1)), training=False))

    return keys, logits, net


def keras_file(net):
    """Names of the arrays in a .weights.h5 file, with each one's layer and shape: [[name, layer, shape], ...]."""
    import tempfile

    import h5py

    with tempfile.TemporaryDirectory() as folder:
        net.save_weights(path := f"{folder}/x.weights.h5")
        rows = []
        with h5py.File(path) as file:

            def visit(name, entry):
                if isinstance(entry, h5py.Dataset):
                    rows.append([name, str(entry.parent.attrs["name"]), list(entry.shape)])

            file.visititems(visit)
    return rows


def detectron2(msra, caffe2=False, layers=(1, 1, 1, 1), classes=CLASSES):
    """torchvision's net with detectron2's names; the authors' has its strides in the first 1x1 and takes B, G, R."""
    from torchvision.models.resnet import Bottleneck, ResNet
    from torchvision.ops import FrozenBatchNorm2d

    net = ResNet(Bottleneck, list(layers), num_classes=classes, norm_layer=FrozenBatchNorm2d if caffe2 else None)
    if msra:
        for block in (module for module in net.modules() if isinstance(module, Bottleneck)):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
    keys, logits = _torch(net)
    constants = ("running_mean", "running_var") if caffe2 else ()
    names = {name: _caffe2_name(name) if caffe2 else _detectron2_name(name, msra) for name, _ in keys}

    def renamed_logits(arrays, x):
        arrays = {name: arrays[theirs] for name, theirs in names.items() if not name.endswith(constants or "-")}
        for name, shape in keys:
            if constants and name.endswith(constants):  # as FrozenBatchNorm2d of detectron2 starts
                arrays[name] = np.full(shape, 1 - 1e-5 if name.endswith("var") else 0.0)
        return logits(arrays, x)

    return [(names[name], shape) for name, shape in keys if not name.endswith(constants or "-")], renamed_logits


def _detectron2_name(name, msra):
    """As detectron2's tools/convert-torchvision-to-d2.py renames."""
    if name.startswith("fc."):
        return name.replace("fc", "linear" if msra else "stem.fc")
    name = name if name.startswith("layer") else f"stem.{name}"
    for k in range(1, 5):
        name = name.replace(f"layer{k}", f"res{k + 1}").replace(f"bn{k}", f"conv{k}.norm")
    return name.replace("downsample.0", "shortcut").replace("downsample.1", "shortcut.norm")


def _caffe2_name(name):
    """The name that detectron2's c2_model_loading.py renames to detectron2's."""
    if name.startswith("fc."):
        return name.replace("fc.", "fc1000_").replace("weight", "w").replace("bias", "b")
    *parts, leaf = _detectron2_name(name, True).split(".")
    is_norm = parts[-1] == "norm"
    parts = parts[:-1] if is_norm else parts
    leaf = {"weight": "bn_s" if is_norm else "w", "bias": "bn_b"}.get(leaf, leaf)
    if parts[0] == "stem":
        return f"res_conv1_{leaf}" if is_norm else f"conv1_{leaf}"
    branch = {"shortcut": "branch1", "conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c"}[parts[2]]
    return f"{parts[0]}_{parts[1]}_{branch}_{leaf}"


def cifar(widths=(16, 32, 64), layers=1, option="A", classes=CLASSES):
    """A net with the module names of akamaster's and kuangliu's."""
    import torch
    from torch import nn
    from torch.nn import functional as f

    class Block(nn.Module):
        def __init__(self, width, features, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(width, features, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(features)
            self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(features)
            self.pad = features // 4 if width != features and option == "A" else 0
            if width != features and option == "B":
                project = nn.Conv2d(width, features, 1, stride, bias=False)
                self.shortcut = nn.Sequential(project, nn.BatchNorm2d(features))
            else:
                self.shortcut = nn.Sequential()

        def forward(self, x):
            y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
            shortcut = f.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.pad, self.pad)) if self.pad else self.shortcut(x)
            return torch.relu(y + shortcut)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0])
            inputs = (widths[0], *widths[:-1])
            for s, (width, features) in enumerate(zip(inputs, widths, strict=True), 1):
                blocks = [Block(width, features, 2 if s > 1 else 1)]
                blocks += [Block(features, features, 1) for _ in range(layers - 1)]
                setattr(self, f"layer{s}", nn.Sequential(*blocks))
            self.linear = nn.Linear(widths[-1], classes)

        def forward(self, x):
            x = torch.relu(self.bn1(self.conv1(x)))
            for s in range(1, len(widths) + 1):
                x = getattr(self, f"layer{s}")(x)
            return self.linear(x.mean((2, 3)))

    return _torch(Net())


SMALL = {
    "transformers-resnet18": partial(transformers_resnet, "basic"),
    "transformers-resnet50": transformers_resnet,
    "transformers-bit50": transformers_bit,
    "transformers-efficientnet": transformers_efficientnet,
    "lukemelas-efficientnet": partial(lukemelas, image_size=64),
    "bit-r50x1": bit_npz,
    "keras-resnet50": keras_resnet,
    "detectron2-torchvision": partial(detectron2, False),
    "detectron2-msra": partial(detectron2, True),
    "caffe2-msra": partial(detectron2, True, True),
    "akamaster-a": cifar,
    "akamaster-b": partial(cifar, option="B"),
    "kuangliu-resnet18": partial(cifar, (64, 128, 256, 512), option="B"),
}
R50 = (3, 4, 6, 3)
# Whole nets, whose files are to be recognised, with their names here.
WHOLE = {
    "resnet18": [partial(transformers_resnet, "basic", (2, 2, 2, 2), 1000)],
    "resnet50": [partial(transformers_resnet, "bottleneck", R50, 1000), partial(detectron2, False, False, R50, 1000)],
    "resnet101": [partial(transformers_resnet, "bottleneck", (3, 4, 23, 3), 1000)],
    "resnetv2_50x1_bit": [partial(transformers_bit, R50, 1000), partial(bit_npz, R50, 21843)],
    "tf_efficientnet_b0": [
        partial(transformers_efficientnet, (1, 2, 2, 3, 3, 4, 1), 1000),
        partial(lukemelas, repeats=0),
    ],
    "tf_efficientnet_b3": [
        partial(transformers_efficientnet, (1, 2, 2, 3, 3, 4, 1), 1000, 1.2, 1.4, 1536),
        partial(lukemelas, "efficientnet-b3", repeats=0),
    ],
    "resnet50_v1": [partial(keras_resnet, R50, 1000), partial(detectron2, True, True, R50, 1000)],
    "resnet101_v1": [partial(keras_resnet, (3, 4, 23, 3), 1000)],
    "cifar_resnet20": [partial(cifar, layers=3, classes=10)],
    "cifar_resnet56_b": [partial(cifar, layers=9, option="B", classes=10)],
    "cifar_resnet18": [partial(cifar, (64, 128, 256, 512), 2, "B", 10)],
}


def write():
    keys, logits = {"small": {}, "whole": {}}, {}
    for name, build in SMALL.items():
        keys["small"][name], forward, *net = build()
        logits[name] = forward(state(keys["small"][name]), images(name))
        if net:
            keys["keras_file"] = keras_file(*net)
    for name, builds in WHOLE.items():
        keys["whole"][name] = [build()[0] for build in builds]
    KEYS.write_bytes(gzip.compress(json.dumps(keys, separators=(",", ":")).encode(), mtime=0))
    np.savez_compressed(LOGITS, **logits)


if __name__ == "__main__":
    write()
