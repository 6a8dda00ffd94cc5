"""Augmentation on the device. Random numbers are keyed by an example's index in the global batch.

So any number of devices sees the same batch.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from resnet_jax.ops import one_hot, sample_per_example, shard_like, swap_neighbours
from resnet_jax.ops.canvas import inside, within
from resnet_jax.types import Array, Batch

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's and torchvision's grey
JitterStrengths = tuple[float, float, float, float]  # strengths of brightness, contrast, saturation, hue


def pad_crop(images: Array, padding: int, key: Array, index: Array) -> Array:
    """Pads with zeros, then crops a window of the old size at a random place: [N, H, W, C] -> [N, H, W, C].

    He et al. 2015, section 4.2 (padding 4 at 32 pixels).
    """
    corners = sample_per_example(lambda k: jax.random.randint(k, (2,), 0, 2 * padding + 1), key, index)
    corners = shard_like(corners, images)
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    size = images.shape[1:]
    return jax.vmap(lambda image, corner: lax.dynamic_slice(image, (corner[0], corner[1], 0), size))(padded, corners)


def flip(images: Array, key: Array, index: Array) -> Array:
    """Mirrors left and right with probability one half: [N, H, W, C] -> [N, H, W, C]."""
    flipped = sample_per_example(jax.random.bernoulli, key, index)
    return jnp.where(flipped[:, None, None, None], images[:, :, ::-1], images)


def jitter_colors(
    images: Array,
    strengths: tuple[float, float, float, float],
    key: Array,
    index: Array,
    size: Array | None = None,
) -> Array:
    """Changes brightness, contrast, saturation and hue of uint8 [N, H, W, 3] at random -> uint8 [N, H, W, 3].

    As torchvision's ColorJitter: factors uniform in [max(0, 1 - s), 1 + s], hue shifts in [-s, s] of a turn, values
    clipped after each change. The order of the four is random too, one for the whole batch. Contrast changes about the
    mean grey of an image: of its upper left `size`, int [N, 2], or (None) of all of it.
    """
    *factors, hue = strengths
    order_key, draw_key = jax.random.split(key)
    low = jnp.array([max(0.0, 1 - s) for s in factors] + [-hue], jnp.float32)
    high = jnp.array([1 + s for s in factors] + [hue], jnp.float32)
    amounts = sample_per_example(lambda k: jax.random.uniform(k, (4,), jnp.float32, low, high), draw_key, index)
    changes = [
        lambda x, by: jnp.clip(x * by, 0, 1),
        lambda x, by: jnp.clip(x * by + _mean_grey(x, size) * (1 - by), 0, 1),
        lambda x, by: jnp.clip(x * by + _grey(x) * (1 - by), 0, 1),
        shift_hue,
    ]
    used = [i for i, strength in enumerate(strengths) if strength]
    x = images.astype(jnp.float32) / 255
    for which in jax.random.permutation(order_key, jnp.array(used)):
        x = lax.switch(which, changes, x, amounts[:, which].reshape(-1, 1, 1, 1))
    return jnp.round(x * 255).astype(jnp.uint8)


def _grey(x: Array) -> Array:
    return (x * jnp.array(LUMA, x.dtype).reshape(1, 1, 1, 3)).sum(-1, keepdims=True)


def _mean_grey(x: Array, size: Array | None) -> Array:
    """[N, H, W, 3] -> [N, 1, 1, 1]: over the upper left `size`, int [N, 2], or all pixels."""
    grey = _grey(x)
    if size is None:
        return grey.mean((1, 2, 3), keepdims=True)
    return grey.mean((1, 2, 3), keepdims=True, where=inside(size, (x.shape[1], x.shape[2]))[..., None])


def shift_hue(x: Array, turns: Array) -> Array:
    """Turns the hue, in HSV (Smith 1978), of [N, H, W, 3] with values in [0, 1] by `turns` (1: all the way round)."""
    r, g, b = x[..., 0], x[..., 1], x[..., 2]
    value, least = x.max(-1), x.min(-1)
    chroma = value - least
    safe = jnp.where(chroma > 0, chroma, 1)
    sector = jnp.where(value == r, (g - b) / safe, jnp.where(value == g, 2 + (b - r) / safe, 4 + (r - g) / safe))
    sector = sector + 6 * turns[..., 0]

    def channel(n: int) -> Array:
        k = (n + sector) % 6
        return value - chroma * jnp.clip(jnp.minimum(k, 4 - k), 0, 1)

    return jnp.stack([channel(5), channel(3), channel(1)], -1)


def cut_out(images: Array, size: int, key: Array, index: Array) -> Array:
    """Sets a square of `size` pixels to 0 around a random pixel, cut off at the edges: [N, H, W, C] -> [N, H, W, C].

    DeVries and Taylor 2017, section 3.2. On normalised images 0 is the mean.
    """
    height, width = images.shape[1:3]
    centres = sample_per_example(lambda k: jax.random.randint(k, (2,), 0, jnp.array([height, width])), key, index)
    rows, columns = (within(n, centres[:, i] - size // 2, size) for i, n in enumerate((height, width)))
    return jnp.where((rows[:, :, None] & columns[:, None, :])[..., None], 0, images)


def mix(batch: Batch, key: Array, *, mixup: float, cutmix: float, num_classes: int) -> Batch:
    """Mixes examples 2k and 2k+1 of the global batch, images and labels: label int [N] or float [N, K] -> float [N, K].

    mixup: Zhang et al. 2018, section 2: l * a + (1 - l) * b, l from Beta(mixup, mixup). CutMix: Yun et al. 2019,
    section 3.1: in a, a box of b, of the share 1 - l before it is cut off at the edges. With both above 0, each pair
    takes one or the other. A pair has one l; b is mixed into a as a into b. One of mask 0 makes both 0.
    """
    images, index, mask = batch["image"], batch["index"], batch["mask"]
    n, height, width, _ = images.shape
    if n % 2:
        raise ValueError(f"mixup and CutMix pair neighbours: expected an even number of images a device, got {n}")

    def sample(k: Array) -> tuple[Array, Array, Array]:
        which, mixup_key, cutmix_key, centre = jax.random.split(k, 4)
        cut = jax.random.bernoulli(which, 0.5) if mixup and cutmix else jnp.array(bool(cutmix))
        shares = [jax.random.beta(k, alpha, alpha) for k, alpha in ((mixup_key, mixup), (cutmix_key, cutmix)) if alpha]
        share = jnp.where(cut, shares[-1], shares[0])
        return cut, share, jax.random.randint(centre, (2,), 0, jnp.array([height, width]))

    cut, share, centre = sample_per_example(sample, key, index // 2)
    other = swap_neighbours(images)
    sides = [jnp.floor(length * jnp.sqrt(1 - share)).astype(jnp.int32) for length in (height, width)]
    rows, columns = (within(n, centre[:, i] - sides[i] // 2, sides[i]) for i, n in enumerate((height, width)))
    box = rows[:, :, None] & columns[:, None, :]
    weight = jnp.where(cut, 1 - box.mean((1, 2), dtype=jnp.float32), share)
    blend = weight.astype(images.dtype).reshape(-1, 1, 1, 1)
    mixed = jnp.where(
        cut.reshape(-1, 1, 1, 1), jnp.where(box[..., None], other, images), blend * images + (1 - blend) * other
    )
    labels = mix_labels(batch["label"], weight, num_classes)
    return {**batch, "image": mixed, "label": labels, "mask": mask * swap_neighbours(mask)}


def mix_labels(labels: Array, weight: Array, num_classes: int) -> Array:
    """Labels of mixed pairs: int [N] or float [N, K] -> float [N, K]; `weight` float [N] is the example's share."""
    soft = labels if _is_soft(labels) else one_hot(labels, num_classes)
    return weight[:, None] * soft + (1 - weight[:, None]) * swap_neighbours(soft)


def _is_soft(labels: Array) -> bool:
    return labels.ndim == 2 and jnp.issubdtype(labels.dtype, jnp.floating)


def make_augment(
    prepare: Callable[[Array], Array],
    *,
    padding: int = 0,
    horizontal_flip: bool = False,
    color_jitter: JitterStrengths = (0.0, 0.0, 0.0, 0.0),
    cutout: int = 0,
    mixup: float = 0.0,
    cutmix: float = 0.0,
    num_classes: int = 0,
    jitter: JitterStrengths | None = None,
    cutout_size: int | None = None,
) -> Callable[[Batch, Array], Batch]:
    """augment(batch, key) -> batch: changes raw images, makes floats of them by `prepare` (a `Preprocess`), mixes.

    `num_classes` is needed to mix labels int [N], which become soft, float [N, K]. `jitter` and `cutout_size` are
    deprecated names of `color_jitter` and `cutout`.
    """
    if jitter is not None or cutout_size is not None:
        names = "make_augment(jitter=..., cutout_size=...) is now make_augment(color_jitter=..., cutout=...)"
        warnings.warn(names, DeprecationWarning, stacklevel=2)
        color_jitter, cutout = jitter or color_jitter, cutout_size or cutout

    def augment(batch: Batch, key: Array) -> Batch:
        images, index = batch["image"], batch["index"]
        keys = jax.random.split(key, 5)
        if padding:
            images = pad_crop(images, padding, keys[0], index)
        if horizontal_flip:
            images = flip(images, keys[1], index)
        if any(color_jitter):
            images = jitter_colors(images, color_jitter, keys[2], index)
        images = prepare(images)
        if cutout:
            images = cut_out(images, cutout, keys[3], index)
        batch = {**batch, "image": images}
        if mixup or cutmix:
            batch = mix(batch, keys[4], mixup=mixup, cutmix=cutmix, num_classes=num_classes)
        return batch

    return augment
