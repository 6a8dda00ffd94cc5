"""The small nets of sound in PyTorch, from the papers' equations, and speechbrain's own; their numbers in float64.

`python tests/helpers/torch_audio.py` writes tests/golden/sequence/audio.npz. PyTorch and speechbrain must be installed.
"""

from __future__ import annotations

from functools import partial

import audio_nets
import numpy as np
import torch
from flax.traverse_util import flatten_dict
from torch.nn import functional as F

from resnet_jax.models import get_spec
from resnet_jax.models.sequence.waveform import PooledHead
from resnet_jax.weights.convert import to_state
from resnet_jax.weights.names import Names, depths_of

DECAY = 0.9


class Layers:
    """Layers on our arrays, by the paths of our variables; `x` is [N, C, *spatial]."""

    def __init__(self, variables, train, epsilon):
        arrays = {kind: flatten_dict(tree, sep="/") for kind, tree in variables.items()}
        self.params = {path: torch.tensor(x, requires_grad=True) for path, x in arrays["params"].items()}
        self.statistics = {path: torch.tensor(x) for path, x in arrays["batch_stats"].items()}
        self.updated, self.train, self.epsilon = {}, train, epsilon

    def conv(self, name, x, stride=1, dilation=1, groups=1):
        kernel = self.params[f"{name}/kernel"].movedim((-1, -2), (0, 1))
        pads = [side for k in kernel.shape[:1:-1] for side in (dilation * ((k - 1) // 2), dilation * (k // 2))]
        function = F.conv1d if x.ndim == 3 else F.conv2d
        return function(F.pad(x, pads), kernel, stride=stride, dilation=dilation, groups=groups)

    def separable(self, name, x, stride=1, dilation=1):
        y = self.conv(f"{name}/depthwise", x, stride, dilation, groups=x.shape[1])
        return self.conv(f"{name}/pointwise", y)

    def norm(self, name, x):
        mean, var = (self.statistics[f"{name}/{kind}"] for kind in ("mean", "var"))
        if self.train:
            axes = [0, *range(2, x.ndim)]
            batch = {"mean": x.mean(axes), "var": x.var(axes, unbiased=False)}
            for kind, old in (("mean", mean), ("var", var)):
                self.updated[f"{name}/{kind}"] = (DECAY * old + (1 - DECAY) * batch[kind]).detach()
        affine = [self.params.get(f"{name}/{kind}") for kind in ("scale", "bias")]
        return F.batch_norm(x, mean.clone(), var.clone(), *affine, training=self.train, eps=self.epsilon)

    def dense(self, name, x):
        return F.linear(x, self.params[f"{name}/kernel"].T, self.params[f"{name}/bias"])


def max_pool(x):
    """Maxima of 4 positions; the last window may be shorter."""
    return F.max_pool1d(x, 4, 4, ceil_mode=True)


def blocks_of(net):
    return [(s, f"stage{s}_block{i}", i) for s, stage in enumerate(net.stages, 1) for i in range(stage.depth)]


def waveform(net, layers, x):
    """Dai et al. 2016, table 1; the blocks of M34-res repeat channels and have a norm behind the addition."""
    x = max_pool(F.relu(layers.norm("stem/norm", layers.conv("stem/conv", x, stride=4))))
    is_residual = any("/combine/" in path for path in layers.params)
    for stage, name, i in blocks_of(net):
        x = max_pool(x) if stage > 1 and i == 0 else x
        if not is_residual:
            x = F.relu(layers.norm(f"{name}/block/norm", layers.conv(f"{name}/block/conv", x)))
            continue
        branch = f"{name}/block/branch"
        y = F.relu(layers.norm(f"{branch}/norm1", layers.conv(f"{branch}/conv1", x)))
        y = layers.norm(f"{branch}/norm2", layers.conv(f"{branch}/conv2", y))
        shortcut = x.repeat_interleave(y.shape[1] // x.shape[1], dim=1)
        x = F.relu(layers.norm(f"{name}/block/combine/norm", y + shortcut))
    pooled = (max_pool(x) if net.head is PooledHead else x).mean(-1)
    return pooled, layers.dense("head/dense", pooled)


def keyword(net, layers, x):
    """honk's loop over the convolutions: every second one adds the last sum, and a norm follows each."""
    pool = (net.stem.total_strides, net.stem.bands)
    x = F.avg_pool2d(F.relu(layers.conv("stem/conv", x)), pool)
    total, convs = x, []
    for (_, name, _), stage in zip(blocks_of(net), [s for s in net.stages for _ in range(s.depth)], strict=True):
        convs += [(f"{name}/conv{k}", f"{name}/norm{k}", stage.block.dilations[k - 1]) for k in (1, 2)]
    if net.head.dilation is not None:
        convs.append(("head/conv", "head/norm", net.head.dilation))
    for number, (conv, norm, dilation) in enumerate(convs, 1):
        x = F.relu(layers.conv(conv, x, dilation=dilation))
        if number % 2 == 0:
            x = total = x + total
        x = layers.norm(norm, x)
    pooled = x.flatten(2).mean(2)
    return pooled, layers.dense("head/dense", pooled)


def speaker(net, layers, x):
    """A ResNet of basic blocks (He et al. 2015, figure 5), then mean and deviation over the frames."""
    x = F.relu(layers.norm("stem/norm", layers.conv("stem/conv", x)))
    for stage, name, i in blocks_of(net):
        stride = 2 if stage > 1 and i == 0 else 1
        y = F.relu(layers.norm(f"{name}/branch/norm1", layers.conv(f"{name}/branch/conv1", x, stride)))
        y = layers.norm(f"{name}/branch/norm2", layers.conv(f"{name}/branch/conv2", y))
        if f"{name}/shortcut/conv/kernel" in layers.params:
            x = layers.norm(f"{name}/shortcut/norm", shortcut_conv(layers, f"{name}/shortcut/conv", x, stride))
        x = F.relu(x + y)
    frames = x.transpose(2, 3).flatten(1, 2)
    deviation = torch.sqrt(frames.var(2, unbiased=False) + 1e-7)
    pooled = layers.dense("head/embed", torch.cat([frames.mean(2), deviation], dim=1))
    return pooled, layers.dense("head/dense", pooled)


def shortcut_conv(layers, name, x, stride):
    return layers.conv(name, x[:, :, ::stride, ::stride])


def quartznet(net, layers, x):
    """Kriman et al. 2019, table 1 and figure 1; the bands are the channels."""
    x = x[:, 0].transpose(1, 2)
    x = F.relu(layers.norm("stem/norm", layers.separable("stem/conv", x, stride=2)))
    for _, name, _ in blocks_of(net):
        y, repeats = x, audio_nets.REPEATS
        for k in range(1, repeats + 1):
            y = layers.norm(f"{name}/branch/norm{k}", layers.separable(f"{name}/branch/conv{k}", y))
            y = F.relu(y) if k < repeats else y
        x = F.relu(y + layers.norm(f"{name}/shortcut/norm", layers.conv(f"{name}/shortcut/conv", x)))
    x = F.relu(layers.norm("head/norm1", layers.separable("head/conv1", x, dilation=2)))
    x = F.relu(layers.norm("head/norm2", layers.conv("head/conv2", x)))
    pooled = x.transpose(1, 2)
    return pooled, layers.dense("head/dense", pooled)


FORWARDS = {"m5": waveform, "m34_res": waveform, "res8": keyword, "res15": keyword}
FORWARDS |= {"speaker_resnet34": speaker, "quartznet5x2_small": quartznet}


def loss_of(logits):
    return (logits - torch.arange(audio_nets.CLASSES)).square().mean()


def equation_results(name):
    """What `audio_nets.results` has, from PyTorch's layers."""
    net, variables = audio_nets.small(name), audio_nets.variables(name)
    x = torch.tensor(np.moveaxis(audio_nets.inputs(name), -1, 1))
    epsilon = 1e-3 if name.startswith("quartznet") else 1e-5
    arrays = {}
    for train in (True, False):
        layers = Layers(variables, train, epsilon)
        pooled, logits = FORWARDS[name](net, layers, x)
        if not train:
            return arrays | {"logits": logits, "pool": pooled}
        loss = loss_of(logits)
        loss.backward()
        arrays = {"training": logits, "loss": loss}
        arrays |= {f"gradient/{path}": value.grad for path, value in layers.params.items()}
        arrays |= {f"statistics/{path}": value for path, value in layers.updated.items()}
    raise AssertionError


def speechbrain_results():
    """speechbrain's embedding net and cosine classifier, loaded through the table of names."""
    from speechbrain.lobes.models.ResNet import Classifier, ResNet

    name = "speaker_seresnet34"
    net, variables = audio_nets.small(name), audio_nets.variables(name)
    names = Names("speechbrain", get_spec(name).name_tables["speechbrain"], depths_of(net))
    state = {key: torch.tensor(value) for key, value in to_state(variables, names).items()}
    kernel = state.pop("classifier.weight")
    depths, widths, (_, bands) = audio_nets.SMALL[name]
    theirs = ResNet(input_size=bands, channels=list(widths), block_sizes=list(depths), lin_neurons=256).double()
    classifier = Classifier(input_size=256, lin_neurons=256, out_neurons=audio_nets.CLASSES).double()
    missing, unexpected = theirs.load_state_dict(state, strict=False)
    assert not unexpected and all(key.endswith("num_batches_tracked") for key in missing)
    classifier.load_state_dict({"weight": kernel})
    counts = {}  # values per channel of each norm

    def count_values(path, module, inputs, output):
        counts[path] = output.numel() / output.shape[1]

    for path, module in theirs.named_modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.register_forward_hook(partial(count_values, path))
    x = torch.tensor(audio_nets.inputs(name)[..., 0])

    def forward():
        embedding = theirs(x)
        return embedding, 30 * classifier(embedding.unsqueeze(1)).squeeze(1)

    theirs.eval()
    pooled, logits = forward()
    theirs.train()
    _, training = forward()
    loss = loss_of(training)
    loss.backward()
    updated = dict(theirs.state_dict())
    arrays = {"logits": logits, "pool": pooled, "training": training, "loss": loss}
    grads = {path: parameter.grad for path, parameter in theirs.named_parameters()}
    grads["classifier.weight"] = classifier.weight.grad
    for path in flatten_dict(variables):
        key, ours = names.entry(path)[0], "/".join(path[1:])
        if path[0] == "params":
            value = grads[key]
            is_kernel = path[-1] == "kernel"
            arrays[f"gradient/{ours}"] = value.movedim((0, 1), (-1, -2)) if is_kernel else value
        else:
            n, value = counts[key.rpartition(".")[0]], updated[key]
            unbiased = (value - DECAY * state[key]) * (n - 1) / n + DECAY * state[key]
            arrays[f"statistics/{ours}"] = unbiased if path[-1] == "var" else value
    return arrays


def reference(name):
    """Arrays as `audio_nets.results` has them."""
    arrays = speechbrain_results() if name == "speaker_seresnet34" else equation_results(name)
    return {key: value.detach().numpy() for key, value in arrays.items()}


if __name__ == "__main__":
    import jax

    with jax.enable_x64(True):
        summaries = {name: audio_nets.summarised(reference(name)) for name in audio_nets.SMALL}
    audio_nets.GOLDEN.parent.mkdir(exist_ok=True)
    arrays = {f"{name}:{key}": value for name, short in summaries.items() for key, value in short.items()}
    np.savez_compressed(audio_nets.GOLDEN, **arrays)
    print(f"wrote {len(arrays)} arrays to {audio_nets.GOLDEN}")
