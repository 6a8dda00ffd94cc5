"""Transfer from a file of weights: a frozen backbone, and a new classifier for the images in a folder.

    python examples/transfer.py resnet18-f37072fd.pth pictures

`pictures` has a sub-folder of images per class. The backbone computes the features of each image once, and only the
classifier is trained.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from resnet_jax import Pretrained, load_pretrained
from resnet_jax.data import read_images


def extract_features(net: Pretrained, files: list[Path], batch_size: int = 32) -> np.ndarray:
    """Pooled features of image files, [N, C]."""

    @jax.jit
    def pooled(images):
        return net.model.apply(net.variables, net.preprocess(images), train=False).features["pool"]

    batches = [files[start : start + batch_size] for start in range(0, len(files), batch_size)]
    return np.concatenate([pooled(read_images(batch, net.preprocess)) for batch in batches])


def train_classifier(features: np.ndarray, labels: np.ndarray, num_classes: int, steps: int):
    """Kernel and bias of a linear classifier: full batches, Adam, standardised features."""
    tx = optax.adam(1e-2)
    params = {"kernel": jnp.zeros((features.shape[-1], num_classes)), "bias": jnp.zeros(num_classes)}

    def loss_fn(params):
        logits = features @ params["kernel"] + params["bias"][None]
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @jax.jit
    def update(params, opt_state):
        updates, opt_state = tx.update(jax.grad(loss_fn)(params), opt_state)
        return optax.apply_updates(params, updates), opt_state

    opt_state = tx.init(params)
    for _ in range(steps):
        params, opt_state = update(params, opt_state)
    return params


def main(argv: list[str] | None = None) -> float:
    """Trains on four fifths of the images; returns the accuracy on the others."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", help="a file that load_pretrained reads")
    parser.add_argument("pictures", type=Path, help="a folder with a sub-folder of images per class")
    parser.add_argument("--model", help="the net, if the file does not tell")
    parser.add_argument("--steps", type=int, default=200)
    options = parser.parse_args(argv)

    classes = sorted(folder.name for folder in options.pictures.iterdir() if folder.is_dir())
    examples = [(file, label) for label, name in enumerate(classes) for file in (options.pictures / name).iterdir()]
    order = np.random.default_rng(0).permutation(len(examples))
    files, labels = [examples[i][0] for i in order], np.array([examples[i][1] for i in order])

    net = load_pretrained(options.weights, model=options.model)
    features = extract_features(net, files)
    split = len(files) // 5
    mean, deviation = features[split:].mean(0, keepdims=True), features[split:].std(0, keepdims=True) + 1e-6
    features = (features - mean) / deviation
    params = train_classifier(features[split:], labels[split:], len(classes), options.steps)
    predicted = np.argmax(features[:split] @ params["kernel"] + params["bias"][None], axis=-1)
    accuracy = float((predicted == labels[:split]).mean())
    print(f"{net.name}: top-1 {accuracy:.4f} on {split} images of {', '.join(classes)}")
    return accuracy


if __name__ == "__main__":
    main()
