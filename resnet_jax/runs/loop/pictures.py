"""Pictures of a run's examples as its net sees them."""

from __future__ import annotations

import jax
import numpy as np

from resnet_jax.analysis.contact_sheet import as_seen
from resnet_jax.analysis.dense_sheet import dense_sheet
from resnet_jax.data.loading.dense import DenseLoader
from resnet_jax.data.loading.sequences import SequenceLoader
from resnet_jax.runs.planning.sequence_pictures import seen_batch
from resnet_jax.runs.starting.build import Trainer
from resnet_jax.training.core import step_keys
from resnet_jax.types import Array, Batch


@jax.transfer_guard("allow")
def batch_picture(trainer: Trainer, batch: Batch, state_key: Array | np.ndarray, completed: int) -> np.ndarray:
    """The batch of step `completed` + 1 with its labels, boxes, masks or label maps: uint8 [H, W, 3]."""
    key = jax.jit(step_keys)(state_key, completed)[0]
    augment, preprocess, train = trainer.augment, trainer.plan.preprocess, trainer.plan.train
    if isinstance(train, SequenceLoader):
        return seen_batch(batch, augment, key, preprocess, train.classes, trainer.plan.task.label_kind)
    if isinstance(train, DenseLoader):
        return dense_sheet(batch, augment, key, preprocess, train.classes)
    return as_seen(batch, augment, key, preprocess)
