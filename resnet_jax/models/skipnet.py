"""SkipNet: a gate in each block decides from the block's input which images run the branch.

Wang et al. 2018, "SkipNet: Learning Dynamic Routing in Convolutional Networks". Every block has a gate here; in the
paper's code the first block has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax import ops
from resnet_jax.models.branches import Basic
from resnet_jax.models.context import BlockContext
from resnet_jax.models.initializers import linear_uniform
from resnet_jax.models.phases import Phase
from resnet_jax.models.protocols import Branch, Shortcut
from resnet_jax.models.resnet import Outputs, ResNet
from resnet_jax.models.shortcuts import Project
from resnet_jax.types import Array, Dtype, at_least_float32

# soft: F(x) is multiplied by the gate's probability. hard: by 0 or 1, with the gradient of the probability
# ("straight-through", Bengio et al. 2013, section 4). skip: hard, and closed branches are not computed.
Gating = Literal["soft", "hard", "skip"]
INITIALLY_OPEN = nn.initializers.constant(1.0)  # bias of the gate's logit: a new net runs its blocks
BATCH_PARTS = 4  # branches run on 0, 1/4, 1/2, 3/4 or all of a batch


class Gate(Protocol):
    """The gate of a block: a module called (x, memory) -> logits [N], memory."""

    def __call__(self, context: BlockContext, *, name: str) -> Callable[..., tuple[Array, Any]]: ...


class FeedForwardGate(nn.Module):
    """Convolutions, a global average and a dense layer (figure 3a and b): [N, *spatial, C] -> logits [N].

    Two convolutions are the paper's FFGate-I: max pooling, then strides 1 and 2. One, of stride 2, is FFGate-II.
    """

    context: BlockContext
    convs: int = 1

    @nn.compact
    def __call__(self, x: Array, memory: LSTM | None) -> tuple[Array, LSTM | None]:
        context, channels = self.context, x.shape[-1]
        if self.convs > 1 and 1 not in x.shape[1:-1]:
            x = ops.max_pool(x, window=2, strides=2, padding=0)
        for i in range(1, self.convs + 1):
            x = context.conv(channels, 3, 2 if i == self.convs else 1, name=f"conv{i}")(x)
            x = context.act(context.norm(name=f"norm{i}")(x))
        return context.dense(1, name="dense", bias_init=INITIALLY_OPEN)(ops.global_pool(x))[:, 0], memory


class LSTM(NamedTuple):
    """A long short-term memory: the weights that all gates share, and the state of each image."""

    kernel: Array  # [E + M, 4M], for an embedding and the last output
    bias: Array  # [4M]
    out: Array  # [N, M]
    cell: Array  # [N, M]

    def __call__(self, x: Array) -> tuple[Array, LSTM]:
        """The output and the new state: [N, E] -> [N, M]."""
        z = ops.dense(jnp.concatenate([x, self.out], axis=-1), self.kernel) + self.bias[None]
        input_gate, forget_gate, output_gate, candidate = jnp.split(z, 4, axis=-1)
        cell = jax.nn.sigmoid(forget_gate) * self.cell + jax.nn.sigmoid(input_gate) * jnp.tanh(candidate)
        out = jax.nn.sigmoid(output_gate) * jnp.tanh(cell)
        return out, self._replace(out=out, cell=cell)


class Memory(nn.Module):
    """The LSTM that all gates share, with a state of zeros for each image of [N, ...]."""

    size: int
    dtype: Dtype = jnp.float32
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> LSTM:
        kernel = self.param("kernel", linear_uniform, (2 * self.size, 4 * self.size), self.param_dtype)
        bias = self.param("bias", nn.initializers.zeros, (4 * self.size,), self.param_dtype)
        corner = x[(slice(None), *(0,) * (x.ndim - 2), slice(1))]  # [N, 1], sharded as the batch is
        zeros = jnp.broadcast_to(jnp.zeros_like(corner, self.dtype), (x.shape[0], self.size))
        return LSTM(ops.unshard(kernel).astype(self.dtype), ops.unshard(bias).astype(self.dtype), zeros, zeros)


class RecurrentGate(nn.Module):
    """A global average, an embedding and the LSTM that all gates share (figure 3c): [N, *spatial, C] -> logits [N]."""

    context: BlockContext

    @nn.compact
    def __call__(self, x: Array, memory: LSTM | None) -> tuple[Array, LSTM]:
        if memory is None:
            raise ValueError(
                "recurrent gates: expected memory_size, the size of their LSTM (10, for example), got None"
            )
        size = memory.out.shape[-1]
        out, memory = memory(self.context.dense(size, name="embed")(ops.global_pool(x)))
        return self.context.dense(1, name="dense", bias_init=INITIALLY_OPEN)(out)[:, 0], memory


class GateCarry(NamedTuple):
    """The carry from block to block."""

    memory: LSTM | None  # of recurrent gates
    gates: tuple[Array, ...]  # one [N] per block so far: 0 or 1, or a soft gate's probability


class SkipResidual(nn.Module):
    """act(g(x) * branch(x) + shortcut(x)), g in {0, 1}: a closed gate leaves the shortcut (section 3.1).

    [N, *spatial, Ci] -> [N, *spatial/s, features], and the carry with this block's gate added.
    """

    context: BlockContext
    features: int
    strides: int = 1
    branch: Branch = Basic
    shortcut: Shortcut = Project
    gate: Gate = FeedForwardGate

    @nn.compact
    def __call__(self, x: Array, carry: GateCarry, gating: Gating) -> tuple[Array, GateCarry]:
        context = self.context
        logits, memory = self.gate(context, name="gate")(x, carry.memory)
        probability = jax.nn.sigmoid(logits)
        is_open = logits > 0
        hard = probability + lax.stop_gradient(is_open.astype(logits.dtype) - probability)
        gate = probability if gating == "soft" else hard
        s = self.shortcut(context, self.features, self.strides, name="shortcut")(x)
        branch: Any = self.branch(context, self.features, self.strides, name="branch")
        if gating == "skip" and not self.is_initializing():
            y = run_for(branch, x, is_open, s)
        else:
            y = branch(x)
        y = y * jnp.expand_dims(gate.astype(y.dtype), tuple(range(1, y.ndim)))
        y = context.act((y if context.drop_path is None else context.drop_path(y)) + s)
        return y, GateCarry(memory, (*carry.gates, gate))


def run_for(module: nn.Module, x: Array, selected: Array, like: Array) -> Array:
    """module(x) for the images where `selected` [N] is true, and unspecified finite numbers for the others.

    The selected images are gathered into the smallest of a few batch sizes that holds them; each size is compiled. A
    single image, a batch of symbolic size (`jax.export`) and a batch sharded over an explicit axis run as a whole or
    not at all. `like` has the shape and type of the result.
    """
    n = x.shape[0]
    if not isinstance(n, int) or ops.is_sharded(x):
        sizes, smallest, order = [0, n], selected.any().astype(jnp.int32), selected  # the order is not used
    else:
        sizes = sorted({-(-n * part // BATCH_PARTS) for part in range(BATCH_PARTS + 1)})
        smallest = jnp.searchsorted(jnp.array(sizes), selected.sum())
        order = jnp.argsort(~selected, stable=True)

    def for_size(size: int) -> Callable[..., Array]:
        def run(module: nn.Module, x: Array, order: Array) -> Array:
            if not size:
                return jnp.zeros_like(like)
            if size == n:
                return module(x)
            images = order[:size]
            return jnp.zeros_like(like).at[images].set(module(x[images]), unique_indices=True)

        return run

    return nn.switch(smallest, [for_size(size) for size in sizes], module, x, order)


class SkipNet(ResNet):
    """A ResNet of gated blocks (`SkipResidual`).

    Training multiplies F(x) by its gate, soft or hard. At inference gates are hard; with `skipping`, branches are
    computed only for the images with open gates (and a few more: see `run_for`). benchmarks/skipping.py measures the
    saving, which depends on the device, the batch and the gates.

    The net sows into the collection "metrics" the share of blocks that each image runs ("executed", [N]) and each
    block's gate ("executed/stage1_block0", ..., [N]). In training it sows into "losses" that share times
    `gate_penalty` (section 3.2, with the same cost for every block).
    """

    memory_size: int | None = None  # of the LSTM that recurrent gates share
    soft_gates: bool = False  # in training
    skipping: bool = False  # at inference
    gate_penalty: float = 0.0

    @nn.compact
    def __call__(self, images: Array, train: bool, example_index: Array | None = None) -> Outputs:
        inference: Gating = "skip" if self.skipping else "hard"
        training: Gating = "soft" if self.soft_gates else "hard"
        gating = training if train else inference

        def initial_carry(x: Array) -> GateCarry:
            if self.memory_size is None:
                return GateCarry(None, ())
            return GateCarry(Memory(self.memory_size, self.dtype, self.param_dtype, name="memory")(x), ())

        outputs, carry = self.forward_with_carry(
            images,
            train,
            example_index,
            initial_carry=initial_carry,
            run_block=lambda block, x, carry: block(x, carry, gating),
        )
        if not self.is_initializing():
            self._sow(carry.gates, train)
        return outputs

    @nn.nowrap
    def training_phases(self, *, gate_penalty: float = 0.0, soft_gate_steps: int = 0) -> tuple[Phase, ...]:
        """The nets of a run in order: with soft gates, if there are steps of them, then with hard ones."""
        hard = self.clone(gate_penalty=gate_penalty)
        soft = (Phase(1, hard.clone(soft_gates=True)),) if soft_gate_steps else ()
        return (*soft, Phase(soft_gate_steps + 1, hard))

    def _sow(self, gates: tuple[Array, ...], train: bool) -> None:
        gates = tuple(gate.astype(at_least_float32(gate.dtype)) for gate in gates)
        total = sum(gates[1:], start=gates[0])
        self.sow("metrics", "executed", total / len(gates))
        for name, gate in zip(self.block_names(), gates, strict=True):
            self.sow("metrics", f"executed/{name}", gate)
        if train and self.gate_penalty:
            self.sow("losses", "gate_penalty", self.gate_penalty / len(gates) * total)
