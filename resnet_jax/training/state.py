"""TrainState: everything a run is, as arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from resnet_jax.types import Array, Variables


@struct.dataclass
class TrainState:
    """Arrays only: what is checkpointed is what there is."""

    step: Array  # int32 []: updates made so far
    params: Any
    batch_stats: Any  # {} in a net without BatchNorm
    opt_state: Any
    ema: Any  # averaged parameters and statistics; {} while there are none
    key: Array  # uint32 [2]: every random draw of the run is folded out of it

    @classmethod
    def create(
        cls, model: nn.Module, tx: optax.GradientTransformation, key: Array, sample: Any, *, ema: bool = False
    ) -> TrainState:
        """A fresh state; `sample` is an array of images [N, H, W, C], of which only shape and dtype count.

        With `ema` it has room for averaged weights, which start as copies (see `make_train_step`).
        """
        init_key, run_key = jax.random.split(key)
        images = jnp.zeros(sample.shape, sample.dtype if jnp.issubdtype(sample.dtype, jnp.floating) else jnp.float32)
        variables = jax.jit(lambda key: model.init(key, images, train=False))(init_key)
        return cls.from_variables(variables, tx, run_key, ema=ema)

    @classmethod
    def from_variables(
        cls, variables: Variables, tx: optax.GradientTransformation, key: Array, *, ema: bool = False
    ) -> TrainState:
        """A state that starts from given weights, such as `load_pretrained(...).variables`.

        Raises:
          ValueError: a key of another implementation than threefry.
        """
        if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            key = jax.random.key_data(key)
        if key.shape != (2,):
            raise ValueError(f"wanted a threefry key, uint32 [2], as jax.random.key(0) gives; got {list(key.shape)}")
        params, batch_stats = variables["params"], variables.get("batch_stats", {})
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=batch_stats,
            opt_state=tx.init(params),
            # Copies: two fields must not share a buffer that is donated.
            ema=jax.tree.map(jnp.copy, {"params": params, "batch_stats": batch_stats}) if ema else {},
            key=key,
        )

    @property
    def variables(self) -> Variables:
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def averaged(self) -> TrainState:
        """The state with the averaged weights and statistics in the place of the others.

        Raises:
          ValueError: it has none.
        """
        if not self.ema:
            raise ValueError("the state has no averaged weights; TrainState.create(..., ema=True) makes room for them")
        return replace(self, **self.ema)
