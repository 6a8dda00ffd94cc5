"""A training loop of your own: the digits, a net, Optax, and a checkpoint that `resnet_jax` reads.

python examples/training_loop.py --steps 200
"""

import argparse

import jax
import numpy as np
import optax

from resnet_jax import (
    Preprocess,
    TrainState,
    create_model,
    load_checkpoint,
    make_eval_step,
    make_train_step,
    save_checkpoint,
)
from resnet_jax.data import load
from resnet_jax.training import optim


def batches(images: np.ndarray, labels: np.ndarray, batch_size: int, steps: int, seed: int = 0):
    """Yields `steps` batches of examples, sampled with replacement."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        index = rng.integers(0, len(labels), batch_size)
        yield {"image": images[index], "label": labels[index]}


def main(argv: list[str] | None = None) -> float:
    """Trains, saves, loads and tests; returns the test accuracy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="cifar_resnet8")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--workdir", default="runs/my_loop")
    options = parser.parse_args(argv)

    train, test = load("digits", "train"), load("digits", "test")
    preprocess = Preprocess(image_size=8, resize=8, mean=(0.306,), std=(0.376,))  # of the training images
    train_images = np.asarray(preprocess(train.images))

    overrides = {"num_classes": 10, "in_channels": 1}
    model = create_model(options.model, **overrides)
    schedule = optim.warmup_cosine(peak_lr=0.1, steps=options.steps, warmup_steps=options.steps // 10)
    tx = optax.sgd(schedule, momentum=0.9, nesterov=True)
    state = TrainState.create(model, tx, jax.random.key(0), train_images[:1])
    train_step = jax.jit(make_train_step(model, tx, axis_name=None), donate_argnums=0)

    for step, batch in enumerate(batches(train_images, train.labels, 64, options.steps), start=1):
        state, metrics = train_step(state, batch)
        if step % 50 == 0 or step == options.steps:
            print(f"step {step}: loss {metrics['loss'] / metrics['count']:.4f}")

    save_checkpoint(
        options.workdir, state, options.model, overrides=overrides, preprocess=preprocess, classes=test.classes
    )
    net = load_checkpoint(options.workdir)
    state = state.replace(**net.variables)
    sums = jax.jit(make_eval_step(net.model, axis_name=None))(
        state, {"image": net.preprocess(test.images), "label": test.labels}
    )
    accuracy = float(sums["top1"] / sums["count"])
    print(f"test top-1 {accuracy:.4f} on {int(sums['count'])} images")
    return accuracy


if __name__ == "__main__":
    main()
