"""Residual nets of series: `ResNet` with unequal lengths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax

from resnet_jax import ops
from resnet_jax.models.context import BlockContext
from resnet_jax.models.resnet import Outputs, ResNet
from resnet_jax.models.sequence.lengths import LengthMasks
from resnet_jax.types import Array, Batch


class SequenceNet(ResNet):
    """Series [N, L, in_channels] or spectrograms [N, frames, bands, in_channels] -> Outputs.

    `lengths` int [N] (None: all of L) counts the positions of each example along the first spatial axis. What lies
    behind a length changes no number of its example nor of the others: convolutions see zeros there, batch statistics
    and pooling ignore it. The logits are those of the example alone, cut at its length.

    Its components take convolutions, norms and pools from their block context.

    Raises:
      ValueError: strides that are no power of 2, with `lengths`.
    """

    layer_drop_rate: float = 0.0  # dropout inside the blocks that call `BlockContext.layer_dropout`

    @nn.nowrap
    def batch_inputs(self, batch: Batch, train: bool) -> dict[str, Any]:
        """Keywords of the call for a batch of training or testing: its lengths, if it has any."""
        return {"lengths": batch["lengths"]} if "lengths" in batch else {}

    @nn.compact
    def __call__(
        self, images: Array, train: bool, example_index: Array | None = None, lengths: Array | None = None
    ) -> Outputs:
        if lengths is not None:
            self._check_strides()
        outputs, _ = self.forward_with_carry(
            images,
            train,
            example_index,
            initial_carry=lambda x: None,
            run_block=lambda block, x, _: (block(x), None),
            lengths=lengths,
        )
        return outputs

    def _stages(
        self, total_strides: int, train: bool, index: Array, masks: LengthMasks | None
    ) -> Iterator[tuple[str, list[Any]]]:
        stages = super()._stages(total_strides, train, index, masks)
        if not (train and self.layer_drop_rate):
            yield from stages
            return
        key = self.make_rng("dropout")

        def bind(number: int, context: BlockContext) -> BlockContext:
            block_key = jax.random.fold_in(key, number)

            def drop(x: Array, layer: int) -> Array:
                return ops.dropout(x, self.layer_drop_rate, jax.random.fold_in(block_key, layer), index)

            return replace(context, layer_dropout=drop)

        for name, blocks in stages:
            yield name, [(spec, bind(spec.number, context)) for spec, context in blocks]

    def _check_strides(self) -> None:
        for number, stage in enumerate(self.stages, 1):
            if stage.strides & (stage.strides - 1):
                raise ValueError(
                    f"lengths: expected strides that are powers of 2, got {stage.strides} in stage{number}"
                )
