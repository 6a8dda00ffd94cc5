"""PyTorch modules of nets that no library has, from the equations of their papers: series, sounds, texts, CIFAR.

`NETS` maps names of ours to functions that return a module for [N, C, *spatial], or for tokens [N, L]. Imported by
families.py, in a process that has torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

if __name__ == "__main__":  # before torch, which this interpreter may lack
    raise SystemExit("error: a module of other scripts; run benchmarks/families.py")
else:
    import torch
    import torch.nn.functional as F
    from torch import nn
    from torch.nn.utils.parametrizations import weight_norm


class Same(nn.Module):
    """A convolution padded by floor((k - 1) / 2) before and floor(k / 2) after, of one or two spatial axes."""

    def __init__(
        self,
        channels: int,
        features: int,
        k: int,
        stride: int = 1,
        *,
        dilation: int = 1,
        groups: int = 1,
        rank: int = 1,
    ) -> None:
        super().__init__()
        kind = nn.Conv1d if rank == 1 else nn.Conv2d
        self.conv = kind(channels, features, k, stride, dilation=dilation, groups=groups, bias=False)
        self.pads = [dilation * ((k - 1) // 2), dilation * (k // 2)] * rank

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, self.pads) if any(self.pads) else x)


def normed(channels: int, features: int, k: int, stride: int = 1, *, act: bool = True, rank: int = 1) -> nn.Sequential:
    norm = nn.BatchNorm1d if rank == 1 else nn.BatchNorm2d
    layers = [Same(channels, features, k, stride, rank=rank), norm(features)]
    return nn.Sequential(*layers, nn.ReLU()) if act else nn.Sequential(*layers)


class Added(nn.Module):
    """relu(branch(x) + shortcut(x))."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.branch(x) + self.shortcut(x))


def classifier(channels: int, classes: int, rank: int = 1) -> tuple[nn.Module, ...]:
    pool = nn.AdaptiveAvgPool1d(1) if rank == 1 else nn.AdaptiveAvgPool2d(1)
    return pool, nn.Flatten(), nn.Linear(channels, classes)


def tsc_fcn() -> nn.Module:
    rows = ((1, 128, 8), (128, 256, 5), (256, 128, 3))
    return nn.Sequential(*(normed(*row) for row in rows), *classifier(128, 2))


def tsc_resnet() -> nn.Module:
    blocks = []
    for i, o in ((1, 64), (64, 128), (128, 128)):
        branch = nn.Sequential(normed(i, o, 8), normed(o, o, 5), normed(o, o, 3, act=False))
        blocks.append(Added(branch, normed(i, o, 1, act=False) if i != o else nn.BatchNorm1d(o)))
    return nn.Sequential(*blocks, *classifier(128, 2))


class InceptionModule(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce = Same(channels, 32, 1) if channels > 1 else nn.Identity()
        self.convs = nn.ModuleList(Same(32 if channels > 1 else 1, 32, k) for k in (40, 20, 10))
        self.pooled = nn.Sequential(nn.MaxPool1d(3, 1, 1), Same(channels, 32, 1))
        self.norm = nn.BatchNorm1d(128)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.reduce(x)
        return F.relu(self.norm(torch.cat([*(conv(y) for conv in self.convs), self.pooled(x)], 1)))


def inception_time() -> nn.Module:
    blocks = [
        Added(
            nn.Sequential(InceptionModule(channels), InceptionModule(128), InceptionModule(128)),
            normed(channels, 128, 1, act=False),
        )
        for channels in (1, 128)
    ]
    return nn.Sequential(*blocks, *classifier(128, 2))


def basic_blocks(widths: Sequence[int], depths: Sequence[int], *, rank: int, pooled: bool) -> list[nn.Module]:
    """Residual blocks of two convolutions of 3; with `pooled` a mean before the convolution of a shortcut."""
    blocks, channels = list[nn.Module](), widths[0]
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for i in range(depth):
            stride = 2 if stage and i == 0 else 1
            branch = [normed(channels, width, 3, stride, rank=rank), normed(width, width, 3, act=False, rank=rank)]
            shortcut: nn.Module | None = None
            if channels != width and pooled:
                pool = nn.AvgPool1d(2, 2, ceil_mode=True, count_include_pad=False)
                shortcut = nn.Sequential(pool, normed(channels, width, 1, act=False, rank=rank))
            elif channels != width:
                shortcut = normed(channels, width, 1, stride, act=False, rank=rank)
            blocks.append(Added(nn.Sequential(*branch), shortcut))
            channels = width
    return blocks


def xresnet1d18() -> nn.Module:
    stem = (normed(1, 32, 3, 2), normed(32, 32, 3), normed(32, 64, 3), nn.MaxPool1d(3, 2, 1))
    blocks = basic_blocks((64, 128, 256, 512), (2, 2, 2, 2), rank=1, pooled=True)
    return nn.Sequential(*stem, *blocks, *classifier(512, 2))


class Causal(nn.Module):
    """A causal convolution with weight normalisation and a bias."""

    def __init__(self, channels: int, features: int, k: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv, self.pad = weight_norm(nn.Conv1d(channels, features, k, dilation=dilation)), dilation * (k - 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, (self.pad, 0)))


class Last(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :, -1]


def tcn() -> nn.Module:
    layers = list[nn.Module]()
    for i in range(8):
        channels = 25 if i else 1
        branch = [Causal(channels, 25, 7, 2**i), nn.ReLU(), Causal(25, 25, 7, 2**i), nn.ReLU()]
        layers.append(Added(nn.Sequential(*branch), None if i else nn.Conv1d(1, 25, 1)))
    return nn.Sequential(*layers, Last(), nn.Linear(25, 10))


def m5() -> nn.Module:
    pool = nn.MaxPool1d(4, 4, ceil_mode=True)
    layers = [normed(1, 128, 80, 4), pool, normed(128, 128, 3), pool, normed(128, 256, 3), pool]
    return nn.Sequential(*layers, normed(256, 512, 3), pool, *classifier(512, 10))


class Keyword(nn.Module):
    """res8 (Tang and Lin 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Same(1, 45, 3, rank=2)
        self.convs = nn.ModuleList(Same(45, 45, 3, rank=2) for _ in range(6))
        self.norms = nn.ModuleList(nn.BatchNorm2d(45, affine=False) for _ in range(6))
        self.output = nn.Linear(45, 12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = total = F.avg_pool2d(F.relu(self.stem(x)), (4, 3))
        for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = F.relu(conv(x))
            if i % 2:
                x = total = x + total
            x = norm(x)
        return self.output(x.flatten(2).mean(2))


class Speaker(nn.Module):
    """speaker_resnet34, for 64 bands."""

    def __init__(self) -> None:
        super().__init__()
        blocks = basic_blocks((16, 32, 64, 128), (3, 4, 6, 3), rank=2, pooled=False)
        self.trunk = nn.Sequential(normed(1, 16, 3, rank=2), *blocks)
        self.embed, self.output = nn.Linear(2 * 128 * 8, 256), nn.Linear(256, 1211)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        frames = self.trunk(x).transpose(2, 3).flatten(1, 2)
        deviation = torch.sqrt(frames.var(2, unbiased=False) + 1e-7)
        return self.output(self.embed(torch.cat([frames.mean(2), deviation], 1)))


def separable(channels: int, features: int, k: int, stride: int = 1, dilation: int = 1) -> list[nn.Module]:
    depthwise = Same(channels, channels, k, stride, dilation=dilation, groups=channels)
    return [depthwise, nn.Conv1d(channels, features, 1, bias=False), nn.BatchNorm1d(features)]


class QuartzNet(nn.Module):
    """quartznet5x2_small: [N, 1, frames, bands] -> [N, frames / 2, 29]."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [*separable(64, 128, 33, 2), nn.ReLU()]
        for k in (33, 39, 51, 63, 75):
            branch = nn.Sequential(*separable(128, 128, k), nn.ReLU(), *separable(128, 128, k))
            layers.append(Added(branch, normed(128, 128, 1, act=False)))
        self.layers = nn.Sequential(*layers, *separable(128, 128, 87, dilation=2), nn.ReLU(), normed(128, 256, 1))
        self.output = nn.Linear(256, 29)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output(self.layers(x[:, 0].transpose(1, 2)).transpose(1, 2))


class VDCNN(nn.Module):
    """vdcnn9 without shortcuts, k = 8."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(69, 16)
        layers, channels = list[nn.Module]([nn.Conv1d(16, 64, 3, padding=1)]), 64
        for width in (64, 128, 256, 512):
            layers += [nn.MaxPool1d(3, 2, 1)] * (width > 64)
            layers += [normed(channels, width, 3), normed(width, width, 3)]
            channels = width
        self.layers = nn.Sequential(*layers)
        head = (nn.Linear(8 * 512, 2048), nn.ReLU(), nn.Linear(2048, 2048), nn.ReLU(), nn.Linear(2048, 4))
        self.head = nn.Sequential(nn.Flatten(), *head)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.layers(self.embedding(tokens).transpose(1, 2))
        return self.head(x.gather(2, x.topk(8, dim=2).indices.sort(dim=2).values))


class GatedBlock(nn.Module):
    def __init__(self, width: int, k: int) -> None:
        super().__init__()
        self.conv = Causal(width, 2 * width, k)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (F.glu(self.conv(x), dim=1) + x) * math.sqrt(0.5)


class GCNN(nn.Module):
    """gcnn8_char: tokens [N, L] -> [N, L, 128]."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(128, 32)
        self.layers = nn.Sequential(Causal(32, 128, 1), *(GatedBlock(128, 5) for _ in range(8)))
        self.output = nn.Linear(128, 128)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.output(self.layers(self.embedding(tokens).transpose(1, 2)).transpose(1, 2))


class CifarBlock(nn.Module):
    """Two 3x3 convolutions, joined with the shortcut of option A by `join(x, y, s)`."""

    def __init__(
        self, channels: int, features: int, stride: int, conv: Callable[..., nn.Module], join: nn.Module
    ) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv(channels, features, 3, stride), conv(features, features, 3)
        self.bn1, self.bn2 = nn.BatchNorm2d(features), nn.BatchNorm2d(features)
        self.stride, self.more, self.join = stride, features - channels, join

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, s = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))), x
        if self.more:
            s = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.more // 2, self.more // 2))
        return F.relu(self.join(x, y, s))


class Plain(nn.Module):
    def __init__(self, channels: int, features: int, stride: int) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor, y: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        return y


class Sum(Plain):
    def forward(self, x: torch.Tensor, y: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        return y + s


class Highway(Plain):
    def __init__(self, channels: int, features: int, stride: int) -> None:
        super().__init__(channels, features, stride)
        self.gate = nn.Conv2d(channels, features, 3, stride, 1)

    def forward(self, x: torch.Tensor, y: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        t = torch.sigmoid(self.gate(x))
        return y * t + s * (1 - t)


class Skip(Plain):
    """SkipNet's gate of two convolutions, 0 or 1 with the probability's gradient."""

    def __init__(self, channels: int, features: int, stride: int) -> None:
        super().__init__(channels, features, stride)
        convs = normed(channels, channels, 3, rank=2), normed(channels, channels, 3, 2, rank=2)
        self.gate = nn.Sequential(nn.MaxPool2d(2), *convs, *classifier(channels, 1, rank=2))

    def forward(self, x: torch.Tensor, y: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        logits = self.gate(x)
        p = torch.sigmoid(logits)
        return y * (p + ((logits > 0).to(p.dtype) - p).detach())[:, :, None, None] + s


class Conditional(nn.Module):
    """A CondConv of four experts: a grouped convolution, a group for each example."""

    def __init__(self, channels: int, features: int, k: int, stride: int = 1, *, rank: int = 2) -> None:
        super().__init__()
        self.shape = (-1, channels, k, k)
        self.kernels = nn.Parameter(torch.randn(4, features * channels * k * k) * math.sqrt(2 / (channels * k * k)))
        self.routing, self.stride = nn.Linear(channels, 4), stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, c, h, w = x.shape
        routes = torch.sigmoid(self.routing(x.mean((2, 3))))
        kernels = (routes @ self.kernels).view(self.shape)
        y = F.conv2d(x.reshape(1, n * c, h, w), kernels, stride=self.stride, padding=1, groups=n)
        return y.view(n, -1, *y.shape[2:])


def cifar(depth: int, join: type[Plain] = Sum, conv: Callable[..., nn.Module] | None = None) -> nn.Module:
    conv = conv or (lambda *sizes: Same(*sizes, rank=2))
    layers, channels = list[nn.Module]([conv(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU()]), 16
    for stage, width in enumerate((16, 32, 64)):
        for i in range((depth - 2) // 6):
            stride = 2 if stage and i == 0 else 1
            layers.append(CifarBlock(channels, width, stride, conv, join(channels, width, stride)))
            channels = width
    return nn.Sequential(*layers, *classifier(64, 10, rank=2))


NETS: dict[str, Callable[[], nn.Module]] = {
    "tsc_fcn": tsc_fcn,
    "tsc_resnet": tsc_resnet,
    "inception_time": inception_time,
    "xresnet1d18": xresnet1d18,
    "tcn": tcn,
    "m5": m5,
    "res8": Keyword,
    "speaker_resnet34": Speaker,
    "quartznet5x2_small": QuartzNet,
    "vdcnn9": VDCNN,
    "gcnn8_char": GCNN,
    "cifar_plain20": lambda: cifar(20, Plain),
    "cifar_highway20": lambda: cifar(20, Highway),
    "cifar_skipnet38": lambda: cifar(38, Skip),
    "cifar_condconv20": lambda: cifar(20, conv=Conditional),
}
