"""ResNet: stem, stages, head. The only loop over stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.heads import LinearHead
from resnet_jax.models.layers import BatchNorm, Conv
from resnet_jax.models.options import check_integer, normalized_fields
from resnet_jax.models.partials import Partial, comparable
from resnet_jax.models.protocols import Activation, Block, ConvFactory, Head, NormFactory, RunBlock, Stem
from resnet_jax.models.sequence.lengths import LengthMasks
from resnet_jax.models.stems import ImageNetStem
from resnet_jax.types import Array, Dtype, check_is_array


@dataclass(frozen=True)
class Stage:
    """A stage of a paper's table: `depth` blocks of `features` output channels; the first takes `strides`."""

    depth: int
    features: int
    strides: int
    block: Block

    def __post_init__(self) -> None:
        for name in ("depth", "features", "strides"):
            object.__setattr__(self, name, check_integer(name, getattr(self, name), 1))
        object.__setattr__(self, "block", comparable(self.block))


class Outputs(NamedTuple):
    """Logits and feature maps of a net. Unused entries cost nothing under jit."""

    logits: Array  # [N, K], at least float32
    features: dict[str, Array]  # "stem", "stage1", ...: [N, *spatial/s, C]; "pool": [N, C]


class _BlockSpec(NamedTuple):
    """The arguments of a block, and its place in the net."""

    number: int  # in the net, from 0
    name: str
    make: Block
    features: int
    strides: int
    drop_rate: float


class ResNet(nn.Module):
    """Images [N, H, W, in_channels], normalised floats -> Outputs. He et al. 2015, "Deep Residual Learning".

    The input's rank decides the kernels' rank: with series [N, L, in_channels] the net is 1-D, with volumes
    [N, D, H, W, in_channels] 3-D. Parameter names do not change.

    `train` turns on batch statistics, dropout and stochastic depth. Dropout and stochastic depth use the random
    collections "dropout" and "drop_path" and sample once per example, keyed by `example_index` int [N]: the index of
    each image in the global batch (default: its index in `images`).
    """

    stages: tuple[Stage, ...]
    num_classes: int = 1000  # 0: no head, logits [N, 0]
    in_channels: int = 3
    # The published input side, pixels, or the size along each spatial axis; the net takes any other.
    image_size: int | tuple[int, ...] = 224
    # A field that shares its name with a submodule has a default factory: Flax's bridge to NNX takes defaults that are
    # attributes of the class for methods.
    stem: Stem = field(default_factory=lambda: ImageNetStem)
    stem_features: int = 64
    head: Head = field(default_factory=lambda: LinearHead)
    conv: ConvFactory = Conv
    norm: NormFactory = BatchNorm
    act: Activation = ops.relu  # XLA on CPU may lose NaN in flax.linen.relu: see ops/activations.py
    global_pool: str = "avg"  # or "max"
    drop_rate: float = 0.0  # dropout before the head
    drop_path: float = 0.0  # stochastic depth: the last block's rate; rates grow linearly over the blocks
    output_stride: int | None = None  # as 8 or 16: later strides become dilations; None: the stages' strides
    # Or "resample", the rule for pools that do not take their strides (`BlockContext.pool`), or "smp", the rule for
    # convolutions (`BlockContext.effective_dilation`).
    dilation: str = "timm"
    bn_axis: str | None = None  # mapped axis whose devices share batch statistics; None: per device
    bn_group_size: int | None = None  # number of neighbouring devices that share; None: all devices of bn_axis
    # "stem", "stage1", ..., "head", or "all": stages whose norms use and keep running statistics in training
    frozen_norms: tuple[str, ...] = ()
    remat: str = "none"  # "block" or "stage": recompute activations in the backward pass
    dtype: Dtype = jnp.float32  # of arithmetic; statistics, pooling and logits are at least float32
    param_dtype: Dtype = jnp.float32
    registry_name: str | None = field(default=None, compare=False, repr=False)  # set by `create_model`

    def __post_init__(self) -> None:
        for name, value in normalized_fields(self).items():
            setattr(self, name, value)
        super().__post_init__()

    @nn.nowrap
    def clone(self, *, parent: Any = None, **updates: Any) -> Any:
        """`flax.linen.Module.clone`; inside a module's compact method, a clone with a `name` is a submodule of it."""
        if parent is None and updates.get("name") is not None:
            return self.copy(**updates)
        return super().clone(parent=parent, **updates)

    @nn.compact
    def __call__(self, images: Array, train: bool, example_index: Array | None = None) -> Outputs:
        outputs, _ = self.forward_with_carry(
            images, train, example_index, initial_carry=lambda x: None, run_block=lambda block, x, _: (block(x), None)
        )
        return outputs

    @nn.nowrap
    def forward_with_carry(
        self,
        images: Array,
        train: bool,
        example_index: Array | None,
        *,
        initial_carry: Callable[[Array], Any],
        run_block: RunBlock,
        lengths: Array | None = None,
    ) -> tuple[Outputs, Any]:
        """Outputs and the last carry: the skeleton of every net, with a carry passed from block to block.

        For the compact `__call__` of a subclass whose blocks take and return a carry, any pytree. `initial_carry`
        makes the first one from the input of the first block. `lengths` int [N] are those of the examples along the
        first spatial axis, for nets whose components take all layers and pools from the block context.
        """
        self._check(images)
        masks = None if lengths is None else LengthMasks.of(lengths, images)
        images = images if masks is None else masks.zero_behind(images)
        index = jnp.arange(images.shape[0]) if example_index is None else example_index
        stem = self.stem(self._context("stem", train, masks), self.stem_features, name="stem")
        feature, x = stem(images.astype(self.dtype))
        if 0 in x.shape[1:-1]:
            raise self._too_small(images)
        features, carry = {"stem": feature}, initial_carry(x)
        for name, blocks in self._stages(stem.total_strides, train, index, masks):
            for group in [[block] for block in blocks] if self.remat == "block" else [blocks]:
                run = partial(_run_blocks, blocks=group, run_block=run_block)
                x, carry = (run if self.remat == "none" else nn.remat(run))(self, x, carry)
            features[name] = x
        context = self._context("head", train, masks)
        if train and self.drop_rate:
            drop = partial(ops.dropout, rate=self.drop_rate, key=self.make_rng("dropout"), index=index)
            context = replace(context, dropout=drop)
        features["pool"], logits = self.head(context, self.num_classes, self.global_pool, name="head")(x)
        return Outputs(logits, features), carry

    def _stages(
        self, total_strides: int, train: bool, index: Array, masks: LengthMasks | None
    ) -> Iterator[tuple[str, list[tuple[_BlockSpec, BlockContext]]]]:
        """Name and blocks of each stage, with the context of each block; `total_strides` are the stem's."""
        drop_path_key = self.make_rng("drop_path") if train and self.drop_path else None

        def bind(context: BlockContext, spec: _BlockSpec) -> BlockContext:
            if not self.drop_path:
                return context
            if drop_path_key is None:
                return replace(context, drop_path=lambda y: y)
            key = jax.random.fold_in(drop_path_key, spec.number)
            return replace(context, drop_path=partial(ops.drop_path, rate=spec.drop_rate, key=key, index=index))

        strides, dilation = total_strides, 1
        for name, stage, specs in self._block_specs():
            takes_strides = self.output_stride is None or strides * stage.strides <= self.output_stride
            if takes_strides:
                strides *= stage.strides
            else:
                dilation *= stage.strides
            context = replace(self._context(name, train, masks), dilation=dilation, take_strides=takes_strides)
            yield name, [(spec, bind(context, spec)) for spec in specs]
        if self.output_stride is not None and strides < self.output_stride:
            raise ValueError(f"output_stride: expected at most {strides}, the net's stride, got {self.output_stride}")
        if self.output_stride is not None and strides > self.output_stride:
            raise ValueError(f"output_stride: expected at least {strides}, the stem's stride, got {self.output_stride}")

    def block_names(self) -> list[str]:
        """Names of the blocks, in order: "stage1_block0", ..."""
        return [spec.name for _, _, specs in self._block_specs() for spec in specs]

    def _block_specs(self) -> Iterator[tuple[str, Stage, list[_BlockSpec]]]:
        """Name and blocks of each stage. Rates of drop path grow linearly: block l of L has l / L of the last one's."""
        total, first = sum(stage.depth for stage in self.stages), 0
        for number, stage in enumerate(self.stages, 1):
            name = f"stage{number}"
            specs = [
                _BlockSpec(
                    number=first + i,
                    name=f"{name}_block{i}",
                    make=stage.block,
                    features=stage.features,
                    strides=stage.strides if i == 0 else 1,
                    drop_rate=self.drop_path * (first + i + 1) / total,
                )
                for i in range(stage.depth)
            ]
            yield name, stage, specs
            first += stage.depth

    def _check(self, images: Array) -> None:
        channels = self.in_channels
        expected = f"images float [N, H, W, {channels}], series [N, L, {channels}] or volumes [N, D, H, W, {channels}]"
        check_is_array(images, expected)
        if images.ndim not in (3, 4, 5) or images.shape[-1] != channels:
            raise ValueError(f"expected {expected}, got {images.dtype} {list(images.shape)}")
        if not jnp.issubdtype(images.dtype, jnp.floating):
            raise TypeError(f"expected {expected}, normalised, got {images.dtype}; see Preprocess")
        if 0 in images.shape[1:-1]:
            raise self._too_small(images)

    def _too_small(self, images: Array) -> ValueError:
        def pixels(side: int) -> int:
            """Size of the first stage's input for an input of `side` pixels along each spatial axis."""
            make: Any = self.stem  # parent=None: not a submodule of this net
            stem = make(self._context("stem", False), self.stem_features, parent=None)
            image = jnp.zeros((1, *(side,) * (images.ndim - 2), self.in_channels), self.dtype)
            (_, x), _ = jax.eval_shape(stem.init_with_output, jax.random.key(0), image)
            return x.size

        least = next(side for side in count(1) if pixels(side))
        expected, got = (" x ".join(map(str, sizes)) for sizes in ([least] * (images.ndim - 2), images.shape[1:-1]))
        return ValueError(f"input too small: expected at least {expected} pixels, got {got}")

    def _context(self, stage: str, train: bool, masks: LengthMasks | None = None) -> BlockContext:
        """The context of "stem", "stage1", ..., "head", without output stride and random keys."""
        is_frozen = "all" in self.frozen_norms or stage in self.frozen_norms
        return BlockContext(
            make_conv=self.conv,
            make_norm=Partial(self.norm, axis_name=self.bn_axis, group_size=self.bn_group_size),
            act=self.act,
            dilation_rule=self.dilation,
            use_batch_statistics=train and not is_frozen,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            masks=masks,
        )


def _run_blocks(
    net: ResNet, x: Array, carry: Any, *, blocks: list[tuple[_BlockSpec, BlockContext]], run_block: RunBlock
) -> tuple[Array, Any]:
    for spec, context in blocks:
        x, carry = run_block(spec.make(context, spec.features, spec.strides, name=spec.name), x, carry)
    return x, carry
