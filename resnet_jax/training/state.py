"""TrainState: parameters, statistics, optimiser state, averages, step and random key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct

from resnet_jax.errors import check_type, described, listed
from resnet_jax.types import Array, Variables


def threefry_key(key: Array) -> Array:
    """The typed threefry key of a key (typed, or raw words), whatever `jax_default_prng_impl` is.

    The first two words count. JAX's "rbg" and "unsafe_rbg" keys begin with the words of threefry, so that
    `jax.random.key(seed)` gives the same run with each of the three.

    Raises:
      TypeError: not an array.
      ValueError: not a single key.
    """
    check_type(key, (jax.Array, np.ndarray), "a key, as jax.random.key(0) gives")
    words = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    if words.ndim != 1 or words.shape[0] < 2 or words.dtype != jnp.uint32:
        raise ValueError(f"expected one key, as jax.random.key(0) gives, got {words.dtype} {list(words.shape)}")
    return jax.random.wrap_key_data(words[:2], impl="threefry2x32")


def check_model(model: Any) -> None:
    """Raises TypeError unless `model` is a net; `create_model` makes one from a name."""
    hint = f"create_model({model!r}) makes one" if isinstance(model, str) else ""
    check_type(model, nn.Module, "a net (flax.linen.Module)", hint)


def check_optimizer(tx: Any) -> None:
    """Raises TypeError unless `tx` is an optimiser of Optax."""
    if not (callable(getattr(tx, "init", None)) and callable(getattr(tx, "update", None))):
        raise TypeError(f"expected an optimiser, as optax.sgd(0.1), got {described(tx)}")


@struct.dataclass
class TrainState:
    """Arrays only; a checkpoint holds all of them."""

    step: Array  # int32 []: updates made so far
    params: Any
    batch_stats: Any  # {} in a net without BatchNorm
    opt_state: Any
    ema: Any  # averaged parameters and statistics; {} without averages
    key: Array  # uint32 [2], the words of a threefry key, from which every random number of the run is derived

    @classmethod
    def create(
        cls, model: nn.Module, tx: optax.GradientTransformation, key: Array, sample: Any, *, ema: bool = False
    ) -> TrainState:
        """A state with initialised weights.

        Args:
          key: `threefry_key` is applied to it.
          sample: images [N, H, W, C], or another input of the net; only its shape and dtype count. A net with a class
            attribute `takes_texts = True` gets tokens int32 [N, context_length], too.
          ema: whether the state has averaged weights, which start as copies (see `make_train_step`).

        Raises:
          TypeError: not a net, an optimiser or images.
        """
        check_model(model)
        check_optimizer(tx)
        if not (hasattr(sample, "shape") and hasattr(sample, "dtype")):
            raise TypeError(f"expected sample images [N, H, W, C] (an array), got {described(sample)}")
        is_input = jnp.issubdtype(sample.dtype, jnp.floating) or getattr(model, "takes_tokens", False)

        def initial(key: Array) -> TrainState:
            init_key, run_key = jax.random.split(key)
            images = jnp.zeros(sample.shape, sample.dtype if is_input else jnp.float32)
            texts: dict[str, Any] = {}
            if getattr(model, "takes_texts", False):
                texts["tokens"] = jnp.zeros((len(images), getattr(model, "context_length", 1)), jnp.int32)
            variables: Any = model.init(init_key, images, **texts, train=False)
            return cls.from_variables(variables, tx, run_key, ema=ema)

        return jax.jit(initial)(threefry_key(key))  # one program: each small one would cost its own compilation

    @classmethod
    def from_variables(
        cls, variables: Variables, tx: optax.GradientTransformation, key: Array, *, ema: bool = False
    ) -> TrainState:
        """A state with the weights `variables`, such as `load_pretrained(...).variables`.

        Raises:
          TypeError: not variables, or not an optimiser.
          ValueError: variables without "params"; no key, or several.
        """
        check_type(variables, Mapping, 'variables (a dict with "params")')
        if "params" not in variables:
            raise ValueError(
                f'expected variables with "params", got {listed(map(str, variables), 3) or "an empty dict"}'
            )
        check_optimizer(tx)
        params, batch_stats = variables["params"], variables.get("batch_stats", {})
        return cls(
            step=jnp.zeros((), jnp.int32),
            params=params,
            batch_stats=batch_stats,
            opt_state=tx.init(params),
            # Copies: two fields must not share a buffer that is donated.
            ema=jax.tree.map(jnp.copy, {"params": params, "batch_stats": batch_stats}) if ema else {},
            key=jax.random.key_data(threefry_key(key)),
        )

    @property
    def variables(self) -> Variables:
        return {"params": self.params, "batch_stats": self.batch_stats}

    @property
    def selected(self) -> TrainState:
        """The state with the weights that tests and evaluations take: the latest ones."""
        return self

    @property
    def averaged(self) -> TrainState:
        """The state with the averaged weights and statistics instead of the latest.

        Raises:
          ValueError: the state has no averages.
        """
        if not self.ema:
            raise ValueError("the state has no averaged weights; TrainState.create(..., ema=True) adds them")
        return replace(self, **self.ema)
