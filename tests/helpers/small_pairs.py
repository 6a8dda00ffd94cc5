"""A net of images and token ids that is small enough for gradients in float64, and its batches."""

from typing import ClassVar, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from resnet_jax.models.layers import BatchNorm
from resnet_jax.training.state import TrainState


class Outputs(NamedTuple):
    image_features: jax.Array
    text_features: jax.Array
    logit_scale: jax.Array
    logit_bias: jax.Array


class PairNet(nn.Module):
    """A dense layer with a norm for images, the mean of embeddings for texts."""

    bn_axis: str | None = None
    frozen: bool = False
    sows: bool = False

    takes_texts: ClassVar[bool] = True
    context_length: ClassVar[int] = 4

    @nn.compact
    def __call__(self, images, tokens, train, example_index=None):
        dtype = images.dtype
        x = nn.Dense(6, use_bias=False, name="image", dtype=dtype, param_dtype=dtype)(images.reshape(len(images), -1))
        norm = BatchNorm(axis_name=self.bn_axis, dtype=dtype, param_dtype=dtype, name="norm")
        y = nn.Embed(7, 6, name="text", dtype=dtype, param_dtype=dtype)(tokens).mean(1)
        if self.sows:
            self.sow("losses", "size", (y**2).sum(-1))
            self.sow("metrics", "size", (y**2).sum(-1))
        scale = self.param("logit_scale", nn.initializers.constant(2.0), (), dtype)
        bias = self.param("logit_bias", nn.initializers.constant(-3.0), (), dtype)
        return Outputs(nn.tanh(norm(x, use_batch_statistics=train and not self.frozen)), y, jnp.exp(scale), bias)


def pairs(count, seed=0):
    """A batch of pairs, the last of which does not count."""
    rng = np.random.default_rng(seed)
    mask = np.ones(count, np.float32)
    mask[-1] = 0
    return {"image": rng.normal(size=(count, 2, 2, 1)), "label": rng.integers(0, 7, (count, 4)), "mask": mask}


def state_of(net, tx):
    return TrainState.create(net, tx, jax.random.key(0), jnp.zeros((2, 2, 2, 1)))


GRADIENT = optax.sgd(1.0)  # an update is the gradient
