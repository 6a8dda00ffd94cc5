"""A segmentation head on the features of a ResNet: which pixels belong to a bright disc?

    python examples/segmentation.py --steps 100

The images are made here, so that the example needs no data. The head is fully convolutional: 1x1 convolutions on two
features of the backbone, resized to the image and added.
"""

import argparse

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from resnet_jax import create_model


class Segmenter(nn.Module):
    """Images [N, H, W, 3] -> logits [N, H, W, num_classes]."""

    backbone: str
    num_classes: int

    @nn.compact
    def __call__(self, images, train: bool):
        features = create_model(self.backbone, num_classes=0, name="backbone")(images, train).features
        height, width = images.shape[1:3]
        logits = jnp.zeros((*images.shape[:3], self.num_classes))
        for name in ("stage1", "stage3"):
            scores = nn.Conv(self.num_classes, (1, 1), name=f"{name}_scores")(features[name])
            logits += jax.image.resize(scores, (len(images), height, width, self.num_classes), "bilinear")
        return logits


def discs(rng: np.random.Generator, count: int, size: int = 32) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images with a disc each, float32 [N, size, size, 3], and their masks, int32 [N, size, size]."""
    y, x = np.mgrid[:size, :size]
    centres, radii = rng.uniform(8, size - 8, (count, 2)), rng.uniform(4, 8, count)
    distances = np.hypot(y - centres[:, 0, None, None], x - centres[:, 1, None, None])
    masks = (distances < radii[:, None, None]).astype(np.int32)
    images = rng.normal(0, 1, (count, size, size, 3)) + 1.5 * masks[..., None]
    return images.astype(np.float32), masks


def intersection_over_union(predicted: np.ndarray, masks: np.ndarray) -> float:
    return float((predicted & masks).sum() / (predicted | masks).sum())


def main(argv: list[str] | None = None) -> float:
    """Trains the segmenter; returns its intersection over union on new images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backbone", default="cifar_resnet8")
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args(argv)

    rng = np.random.default_rng(0)
    model, tx = Segmenter(options.backbone, num_classes=2), optax.adam(3e-3)
    variables = model.init(jax.random.key(0), discs(rng, 1)[0], train=False)
    opt_state = tx.init(variables["params"])

    @jax.jit
    def update(variables, opt_state, images, masks):
        def loss_fn(params):
            logits, updated = model.apply(variables | {"params": params}, images, train=True, mutable=["batch_stats"])
            return optax.softmax_cross_entropy_with_integer_labels(logits, masks).mean(), updated

        (loss, updated), gradient = jax.value_and_grad(loss_fn, has_aux=True)(variables["params"])
        updates, opt_state = tx.update(gradient, opt_state, variables["params"])
        return {"params": optax.apply_updates(variables["params"], updates), **updated}, opt_state, loss

    for step in range(1, options.steps + 1):
        variables, opt_state, loss = update(variables, opt_state, *discs(rng, 16))
        if step % 20 == 0 or step == options.steps:
            print(f"step {step}: loss {loss:.4f}")

    images, masks = discs(rng, 64)
    predicted = np.asarray(jax.jit(model.apply, static_argnames="train")(variables, images, train=False).argmax(-1))
    score = intersection_over_union(predicted, masks)
    print(f"intersection over union of the discs: {score:.4f}")
    return score


if __name__ == "__main__":
    main()
