"""Residual nets of series: `ResNet` with unequal lengths."""

from __future__ import annotations

import flax.linen as nn

from resnet_jax.models.resnet import Outputs, ResNet
from resnet_jax.types import Array


class SequenceNet(ResNet):
    """Series [N, L, in_channels] or spectrograms [N, frames, bands, in_channels] -> Outputs.

    `lengths` int [N] (None: all of L) counts the positions of each example along the first spatial axis. What lies
    behind a length changes no number of its example nor of the others: convolutions see zeros there, batch statistics
    and pooling ignore it. The logits are those of the example alone, cut at its length.

    Its components take convolutions, norms and pools from their block context.

    Raises:
      ValueError: strides that are no power of 2, with `lengths`.
    """

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

    def _check_strides(self) -> None:
        for number, stage in enumerate(self.stages, 1):
            if stage.strides & (stage.strides - 1):
                raise ValueError(
                    f"lengths: expected strides that are powers of 2, got {stage.strides} in stage{number}"
                )
