"""PyTorch nets to time ours against: torchvision's, timm's, and plain modules of nets that neither has.

`create(name)` returns the module. Imported by the scripts beside it, in a process that has torch.
"""

from __future__ import annotations

if __name__ == "__main__":  # before torch, which this interpreter may lack
    raise SystemExit("error: a module of other scripts; run benchmarks/step.py, families.py or gpu.py")
else:
    import torch
    import torch.nn.functional as F
    from torch import nn


def create(name: str) -> nn.Module:
    """The net of this name of ours, for 3 channels and its usual classes, or for [N, 1, L] and five classes.

    Raises:
      ValueError: there is none.
    """
    if name in PLAIN:
        return PLAIN[name]()
    try:
        import torchvision

        if name in torchvision.models.list_models(torchvision.models):
            return torchvision.models.get_model(name)
    except ImportError:
        pass
    try:
        import timm
    except ImportError:
        timm = None
    if timm is None or name not in timm.list_models():
        raise ValueError(f"expected a net of torchvision, of timm or one of {', '.join(PLAIN)}, got {name!r}")
    return timm.create_model(name)


class CifarBlock(nn.Module):
    """Two 3x3 convolutions with the shortcut of option A (He et al. 2016, section 4.2): subsampled, padded with 0."""

    def __init__(self, channels: int, features: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, features, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(features), nn.BatchNorm2d(features)
        self.stride, self.more = stride, features - channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
        return F.relu(x + y)


def cifar_resnet(blocks: int) -> nn.Module:
    widths, layers = (16, 32, 64), list[nn.Module]()
    channels = widths[0]
    for stage, width in enumerate(widths):
        for i in range(blocks):
            layers.append(CifarBlock(channels, width, 2 if stage and i == 0 else 1))
            channels = width
    stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, 1, 1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
    return nn.Sequential(stem, *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


class WideBlock(nn.Module):
    """The pre-activation block of Zagoruyko and Komodakis 2016."""

    def __init__(self, channels: int, features: int, stride: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(features)
        self.conv1 = nn.Conv2d(channels, features, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.shortcut = nn.Conv2d(channels, features, 1, stride, bias=False) if channels != features else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(x))
        shortcut = x if self.shortcut is None else self.shortcut(y)
        return shortcut + self.conv2(F.relu(self.bn2(self.conv1(y))))


def cifar_wrn(depth: int, width: int) -> nn.Module:
    channels, layers = 16, list[nn.Module]()
    for stage, features in enumerate((16 * width, 32 * width, 64 * width)):
        for i in range((depth - 4) // 6):
            layers.append(WideBlock(channels, features, 2 if stage and i == 0 else 1))
            channels = features
    head = (nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))
    return nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1, bias=False), *layers, *head)


class SeriesBlock(nn.Module):
    """Three convolutions of 8, 5 and 3 elements (Wang, Yan and Oates 2017)."""

    def __init__(self, channels: int, features: int) -> None:
        super().__init__()
        sizes = (channels, features, features, features)
        self.convs = nn.ModuleList(
            nn.Conv1d(i, o, k, padding="same", bias=True) for i, o, k in zip(sizes, sizes[1:], (8, 5, 3), strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(features) for _ in range(3))
        self.project = nn.Conv1d(channels, features, 1) if channels != features else nn.Identity()
        self.norm = nn.BatchNorm1d(features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            y = norm(conv(y)) if i == 2 else F.relu(norm(conv(y)))
        return F.relu(y + self.norm(self.project(x)))


def tsc_resnet() -> nn.Module:
    blocks = SeriesBlock(1, 64), SeriesBlock(64, 128), SeriesBlock(128, 128)
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(128, 5))


PLAIN = {
    "cifar_resnet20": lambda: cifar_resnet(3),
    "cifar_wrn16_4": lambda: cifar_wrn(16, 4),
    "tsc_resnet": tsc_resnet,
}
