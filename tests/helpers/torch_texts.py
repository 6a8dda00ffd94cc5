"""The nets of texts written with PyTorch's functions, from the equations of their papers.

`python tests/helpers/torch_texts.py` writes tests/golden/sequence/texts.npz.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import recipe
import small_texts
import torch
import torch.nn.functional as F
from flax.traverse_util import flatten_dict

GOLDEN = recipe.GOLDEN / "sequence" / "texts.npz"


class Oracle:
    """A net's arrays by their names here, as tensors with gradients, and what it computes from tokens."""

    def __init__(self, name: str) -> None:
        self.name, self.net = name, small_texts.small_net(name)
        flat = {"/".join(path): x for path, x in flatten_dict(small_texts.variables(name)).items()}
        self.arrays = {path: torch.tensor(np.ascontiguousarray(x)) for path, x in flat.items()}
        for path, tensor in self.arrays.items():
            tensor.requires_grad_(path.startswith("params/"))

    def param(self, path: str) -> Any:
        return self.arrays[f"params/{path}"]

    def conv(self, x: Any, path: str, **options: Any) -> Any:
        return F.conv1d(x, self.param(f"{path}/kernel").permute(2, 1, 0), **options)

    def norm(self, x: Any, path: str, train: bool) -> Any:
        mean, var = (self.arrays[f"batch_stats/{path}/{leaf}"] for leaf in ("mean", "var"))
        scale, bias = (self.param(f"{path}/{leaf}") for leaf in ("scale", "bias"))
        return F.batch_norm(x, mean, var, scale, bias, training=train, momentum=0.1, eps=1e-5)

    def dense(self, x: Any, path: str) -> Any:
        bias = self.arrays.get(f"params/{path}/bias")
        return F.linear(x, self.param(f"{path}/kernel").T, bias)

    def logits(self, tokens: np.ndarray, train: bool) -> Any:
        x = F.embedding(torch.tensor(tokens), self.param("embedding/embedding")).transpose(1, 2)
        return self.vdcnn(x, train) if self.name.startswith("vdcnn") else self.gcnn(x)

    def vdcnn(self, x: Any, train: bool) -> Any:
        """Conneau et al. 2017, figures 1 and 2: [N, E, L] -> [N, K]."""
        x = self.conv(x, "stem/conv", bias=self.param("stem/conv/bias"), padding=1)
        for number, stage in enumerate(self.net.stages, 1):
            for i in range(stage.depth):
                block = f"stage{number}_block{i}"
                if number > 1 and i == 0:
                    x = F.max_pool1d(x, 3, 2, 1)
                y = F.relu(self.norm(self.conv(x, f"{block}/branch/conv1", padding=1), f"{block}/branch/norm1", train))
                y = self.norm(self.conv(y, f"{block}/branch/conv2", padding=1), f"{block}/branch/norm2", train)
                if self.name.endswith("_shortcut"):
                    if f"params/{block}/shortcut/conv/kernel" in self.arrays:
                        x = self.norm(self.conv(x, f"{block}/shortcut/conv"), f"{block}/shortcut/norm", train)
                    y = y + x
                x = F.relu(y)
        order = x.sort(dim=2, descending=True, stable=True).indices  # the first of equals
        places = order[..., :4].sort(dim=2).values
        x = x.gather(2, places).transpose(1, 2).flatten(1)
        x = F.relu(self.dense(F.relu(self.dense(x, "head/fc1")), "head/fc2"))
        return self.dense(x, "head/dense")

    def normed_conv(self, x: Any, path: str) -> Any:
        """A causal convolution with weight normalisation and a bias."""
        kernel = self.param(f"{path}/kernel").permute(2, 1, 0)
        weight = torch._weight_norm(kernel, self.param(f"{path}/scale").reshape(-1, 1, 1), 0)
        return F.conv1d(F.pad(x, (kernel.shape[2] - 1, 0)), weight, self.param(f"{path}/bias"))

    def gcnn(self, x: Any) -> Any:
        """Dauphin et al. 2017, equation 1 and figure 1: [N, E, L] -> [N, L, K]."""
        x = self.normed_conv(x, "stem/conv")
        for number, stage in enumerate(self.net.stages, 1):
            for i in range(stage.depth):
                block, y = f"stage{number}_block{i}", x
                for layer in (1, 2, 3):
                    if f"params/{block}/branch/conv{layer}/kernel" in self.arrays:
                        y = F.glu(self.normed_conv(y, f"{block}/branch/conv{layer}"), dim=1)
                projected = f"params/{block}/shortcut/conv/kernel" in self.arrays
                x = (y + (self.normed_conv(x, f"{block}/shortcut/conv") if projected else x)) * math.sqrt(0.5)
        x = x.transpose(1, 2)
        return self.dense(x, "head/dense") if self.name == "gcnn8_char" else self.adaptive(x)

    def adaptive(self, x: Any) -> Any:
        """Grave et al. 2017, as `torch.nn.AdaptiveLogSoftmaxWithLoss`."""
        keywords = self.net.head.keywords
        net = torch.nn.AdaptiveLogSoftmaxWithLoss(
            x.shape[-1], small_texts.VOCABULARY, [*keywords["cutoffs"]], div_value=keywords["factor"]
        ).double()
        for i, tail in enumerate(net.tail, 1):
            for layer, name in zip(tail, (f"tail{i}_down", f"tail{i}_up"), strict=True):
                del layer.weight
                layer.weight = self.param(f"head/{name}/kernel").T
        del net.head.weight
        net.head.weight = self.param("head/dense/kernel").T
        return net.log_prob(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def loss(self, logits: Any, tokens: np.ndarray) -> Any:
        if self.name.startswith("vdcnn"):
            return F.cross_entropy(logits, torch.arange(len(logits)) % small_texts.CLASSES)
        return F.cross_entropy(logits[:, :-1].flatten(0, 1), torch.tensor(tokens)[:, 1:].flatten())

    def passes(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """Logits at inference and in training, loss, gradient of each parameter, updated statistics (biased)."""
        evaluated = self.logits(tokens, train=False)
        old = {path: x.clone() for path, x in self.arrays.items() if path.startswith("batch_stats/")}
        trained = self.logits(tokens, train=True)
        loss = self.loss(trained, tokens)
        loss.backward()
        results = {"eval": evaluated, "train": trained, "loss": loss}
        results |= {path: x.grad for path, x in self.arrays.items() if path.startswith("params/")}
        for path, before in old.items():
            results[path] = self.biased(path, before) if path.endswith("/var") else self.arrays[path]
        return {path: x.detach().numpy() for path, x in results.items()}

    def biased(self, path: str, old: Any) -> Any:
        """The running variance with the biased variance of the batch, of which PyTorch has n / (n - 1) times."""
        stage = int(path.split("stage")[1][0])
        n = len(small_texts.TOKENS) * -(-small_texts.LENGTH // 2 ** (stage - 1))
        unbiased = (self.arrays[path] - 0.9 * old) / 0.1
        return 0.9 * old + 0.1 * unbiased * (n - 1) / n


def write() -> None:
    arrays = {}
    for name in small_texts.MAKERS:
        results = Oracle(name).passes(small_texts.TOKENS)
        arrays |= {f"{name}:{key}": results[key] for key in ("eval", "train", "loss")}
        gradients = [results[path] for path in sorted(results) if path.startswith("params/")]
        arrays[f"{name}:gradients"] = np.array([np.sqrt(np.square(x).sum()) for x in gradients])
        statistics = [results[path].mean() for path in sorted(results) if path.startswith("batch_stats/")]
        arrays[f"{name}:statistics"] = np.array(statistics)
        if not name.startswith("vdcnn"):
            arrays[f"{name}:eval"] = arrays.pop(f"{name}:train")[:, ::9]  # every ninth position
    np.savez_compressed(GOLDEN, **arrays)


if __name__ == "__main__":
    write()
