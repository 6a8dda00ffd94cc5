"""Segmenters of torchvision and segmentation_models_pytorch, and their numbers on the recipe's arrays.

`python tests/helpers/torch_segmenters.py` writes tests/golden/dense/segmenters.npz: nets on ResNets with one block of
two 3x3 convolutions a stage. Both libraries must be installed.
"""

from __future__ import annotations

import sys

import numpy as np
import recipe
import segmentation
import torch
from torch import nn

CHANNELS = [3, 64, 64, 128, 256, 512]
SMALL = {"layers": [1, 1, 1, 1]}
SIZE = (64, 64)
FILE = recipe.GOLDEN / "dense" / "segmenters.npz"


def smp_net(name: str, backbone: str | None, classes: int) -> nn.Module:
    """segmentation_models_pytorch's net with default options; backbone None: the small one."""
    import segmentation_models_pytorch as smp
    from segmentation_models_pytorch.encoders.resnet import ResNetEncoder
    from torchvision.models.resnet import BasicBlock

    kinds = {"unet": "Unet", "upernet": "UPerNet", "pspnet": "PSPNet", "deeplabv3plus": "DeepLabV3Plus"}
    net = getattr(smp, kinds[name])(backbone or "resnet18", encoder_weights=None, classes=classes)
    if backbone is None:
        depth = 3 if name == "pspnet" else 5
        net.encoder = ResNetEncoder(out_channels=CHANNELS, depth=depth, block=BasicBlock, layers=SMALL["layers"])
        if name == "deeplabv3plus":
            net.encoder.make_dilated(16)
    return net


def torchvision_net(name: str, backbone: str | None, classes: int) -> nn.Module:
    """torchvision's net with an auxiliary head; backbone None: its heads on the small net, without dilation."""
    from torchvision.models import resnet, segmentation
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.segmentation.deeplabv3 import DeepLabHead
    from torchvision.models.segmentation.fcn import FCNHead

    if backbone is not None:
        options = {"weights": None, "weights_backbone": None, "aux_loss": True}
        return getattr(segmentation, f"{name}_{backbone}")(num_classes=classes, **options)
    body = IntermediateLayerGetter(
        resnet.ResNet(resnet.BasicBlock, SMALL["layers"]), {"layer4": "out", "layer3": "aux"}
    )
    kind, head = {"fcn": (segmentation.FCN, FCNHead), "deeplabv3": (segmentation.DeepLabV3, DeepLabHead)}[name]
    return kind(body, head(512, classes), FCNHead(256, classes))


def torch_net(name: str, backbone: str | None = None, classes: int = 21) -> nn.Module:
    make = torchvision_net if name in ("fcn", "deeplabv3") else smp_net
    net = make(name, backbone, classes).double()
    arrays = {key: x for key, x in net.state_dict().items() if x.dtype.is_floating_point}
    values = {key: torch.from_numpy(np.asarray(recipe.array(key, tuple(x.shape)))) for key, x in arrays.items()}
    net.load_state_dict(net.state_dict() | values)
    for module in net.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
    return net


def logits_of(outputs) -> dict[str, torch.Tensor]:
    return dict(outputs) if isinstance(outputs, dict) else {"out": outputs}


def numbers(net: nn.Module, size: tuple[int, int], classes: int = 21):
    """Logits at inference, the loss, norms of the gradients and running means after the training pass."""
    images, labels = map(torch.from_numpy, segmentation.example(size, classes))
    net.eval()
    with torch.no_grad():
        logits = {key: x.numpy() for key, x in logits_of(net(images)).items()}
    outputs = logits_of(net.train()(images))
    weights = {"out": 1.0, "aux": 0.5}
    entropy = nn.functional.cross_entropy
    loss = sum(weights[key] * entropy(x, labels, ignore_index=segmentation.IGNORED) for key, x in outputs.items())
    loss.backward()
    norms = {key: x.grad.norm().item() for key, x in net.named_parameters() if x.grad is not None}
    means = {key: x.numpy() for key, x in net.state_dict().items() if key.endswith("running_mean")}
    return logits, loss.item(), norms, means


if __name__ == "__main__":
    arrays = {}
    for name in ("fcn", "deeplabv3", "deeplabv3plus", "pspnet", "upernet", "unet"):
        logits, loss, norms, _ = numbers(torch_net(name, classes=3), SIZE, 3)
        arrays |= {f"{name}/{key}": x[:, :, ::7, ::7] for key, x in logits.items()}
        arrays |= {f"{name}/{key}_norm": np.linalg.norm(x) for key, x in logits.items()}
        arrays[f"{name}/loss"] = loss
        arrays |= {f"{name}/gradients": list(norms), f"{name}/norms": list(norms.values())}
    np.savez_compressed(FILE, **arrays)
    sys.exit(f"wrote {FILE}")
