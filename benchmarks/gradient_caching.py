"""How far gradient caching is from the gradient of the whole batch while norms train.

    python benchmarks/gradient_caching.py runs/captions_clip

The first training batch of a run of `configs/captions_clip.py`, as one part and in several. One JSON line for each
number of parts, with the norm of the gradients' difference, divided by the norm of the whole batch's gradient:

- `training_norms`: norms use the statistics of a part
- `frozen_norms`: they use the running ones; what remains is rounding

About a minute on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import jax
import jax.numpy as jnp
import optax
from turns import machine, one_line_errors

from resnet_jax import TrainState, load_checkpoint
from resnet_jax.data import open_dataset, open_loader
from resnet_jax.inputs.captions import CaptionOptions
from resnet_jax.models.inspect import has_texts
from resnet_jax.tasks import Contrastive
from resnet_jax.training.step import make_step

GRADIENT = optax.sgd(1.0)  # an update is the gradient


def gradient(net: Any, variables: Any, batch: Any, parts: int) -> Any:
    step = make_step(
        net, GRADIENT, Contrastive().objective, axis_name=None, accumulate=parts, compares_examples=True
    )  # fmt: skip
    state = TrainState.from_variables(variables, GRADIENT, jax.random.key(0))
    return jax.tree.map(jnp.subtract, state.params, jax.jit(step)(state, batch)[0].params)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run of configs/captions_clip.py")
    parser.add_argument("--parts", type=int, nargs="+", default=[2, 4], help="numbers of parts")
    arguments = parser.parse_args(argv)
    with one_line_errors():
        net, variables, preprocess, name = load_checkpoint(arguments.run)
    if not has_texts(net):
        raise SystemExit(f"error: {arguments.run}: expected a net of images and texts, got {name}")
    dataset, model = open_dataset("scenes", label_kind="caption"), net
    loader = open_loader(dataset, "train", captions=CaptionOptions(length=model.context_length))
    batch: Any = next(loader.batches(0, batch_size=64))
    batch = {"image": preprocess(batch["image"]), "label": batch["label"]}
    wholes = {}
    for parts in (1, *arguments.parts):
        line: dict[str, Any] = {"parts": parts}
        for name, frozen in (("training_norms", ()), ("frozen_norms", ("all",))):
            result = gradient(net.clone(frozen_norms=frozen), variables, batch, parts)
            whole = wholes.setdefault(name, result)
            difference = optax.global_norm(jax.tree.map(jnp.subtract, result, whole))
            line[name] = float(difference / optax.global_norm(whole))
        if parts > 1:
            print(json.dumps(line | machine()))


if __name__ == "__main__":
    main()
