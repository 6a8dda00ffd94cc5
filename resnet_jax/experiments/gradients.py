"""How gradients reach the first block of plain, Highway and residual nets, at initialisation and in training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from resnet_jax.analysis.flow import read_flow
from resnet_jax.analysis.plots import draw_flow, draw_lines
from resnet_jax.config import Config
from resnet_jax.experiments.degradation import KINDS, WORDS
from resnet_jax.experiments.runs import check_all, net_name, run_all
from resnet_jax.files import replace_file
from resnet_jax.models import sort_components
from resnet_jax.models.initializers import KERNELS, with_kernels
from resnet_jax.runs.planning.datasets import make_augmentation
from resnet_jax.runs.planning.plan import make_plan
from resnet_jax.steps import make_train_step
from resnet_jax.training import metrics
from resnet_jax.training.gradient_flow import PARAMETERS
from resnet_jax.training.optim import by_path
from resnet_jax.training.state import TrainState


def gradients(config: Config, depths: Sequence[int], seeds: Sequence[int], kinds: Sequence[str] = KINDS) -> Path:
    """Measures gradient norms in CIFAR nets of every kind and depth; returns the path of results.json in the workdir.

    "initial" in results.json: on the first batch, for each initialisation of `init.kernels`, mean over the seeds.
    "training": in the runs "plain20", ... of the first seed, mean over their records; diverged runs are missing. Each
    entry has the norms with respect to the parameters of the "first" and the "last" block.
    """
    runs = {
        (kind, depth): replace(
            config,
            workdir=f"{config.workdir}/{kind}{depth}",
            model=replace(config.model, name=net_name(kind, depth)),
            train=replace(config.train, seed=seeds[0], gradient_flow=True),
        )
        for kind in kinds
        for depth in depths
    }
    check_all(runs.values())
    initial: dict[str, Any] = {way: {kind: {} for kind in kinds} for way in KERNELS}
    training: dict[str, Any] = {kind: {} for kind in kinds}
    for (kind, depth), run in runs.items():
        for way, ends in at_initialisation(run, seeds).items():
            initial[way][kind][depth] = ends
    diverged = run_all(runs.values())
    for (kind, depth), run in runs.items():
        if run.workdir not in diverged:
            flow = read_flow(run.workdir)
            training[kind][depth] = _ends(dict(zip(flow.parts, np.nanmean(flow.parameters, 0).tolist(), strict=True)))
    results = Path(config.workdir) / "results.json"
    replace_file(
        results, json.dumps({"experiment": "gradients", "initial": initial, "training": training}, indent=1) + "\n"
    )
    return results


def at_initialisation(config: Config, seeds: Sequence[int]) -> dict[str, dict[str, float]]:
    """Gradient norms of the first and the last block on the first batch, by initialisation, mean over seeds.

    All norms have scale 1, as in the paper. Our residual nets initialise the last scale of a branch to 0, and then the
    kernels of the branch have no gradient at first.
    """
    plan = make_plan(config)
    tx = optax.set_to_zero()
    augment = make_augmentation(config.data, plan.preprocess, len(plan.train.classes))
    model = plan.model.clone(bn_axis=None, bn_group_size=None)
    step = jax.jit(make_train_step(model, tx, axis_name=None, augment=augment, gradient_flow=True))
    norms: dict[str, dict[str, float]] = {}
    for way in KERNELS:
        each = []
        for seed in seeds:
            batch = next(plan.train.batches(seed, batch_size=config.data.batch_size))
            state = TrainState.create(with_kernels(model, way), tx, jax.random.key(seed), batch["image"][:1])
            ones = by_path(lambda path: path.endswith("/scale"), state.params)
            params = jax.tree.map(lambda one, x: jnp.ones_like(x) if one else x, ones, state.params)
            state = replace(state, params=params)
            means = metrics.mean([jax.device_get(step(state, batch)[1])])
            each.append(_ends({name.removeprefix(PARAMETERS): x for name, x in means.items() if PARAMETERS in name}))
        norms[way] = {end: sum(ends[end] for ends in each) / len(each) for end in each[0]}
    return norms


def _ends(norms: dict[str, float]) -> dict[str, float]:
    blocks = [part for part in sort_components(norms) if "_block" in part]
    return {"first": norms[blocks[0]], "last": norms[blocks[-1]]}


def _places(results: dict[str, Any]) -> dict[str, Any]:
    initial = {f"first batch, {way}": kinds for way, kinds in results["initial"].items()}
    return initial | {"in training": results["training"]}


def table(results: dict[str, Any]) -> str:
    """Gradient of the first block divided by that of the last, by initialisation, kind and depth."""
    places = _places(results)
    depths = list(next(iter(results["initial"]["fan_out"].values())))
    heading = "gradient norm of the first block's parameters, divided by that of the last block's"
    lines = [heading, f"{'initial kernels':22}{'layers':10}{''.join(f'{depth:>12}' for depth in depths)}"]
    for place, kinds in places.items():
        for kind, by_depth in kinds.items():
            ends = [by_depth.get(depth) for depth in depths]
            ratios = [f"{end['first'] / end['last']:.3g}" if end else "diverged" for end in ends]
            lines.append(f"{place:22}{WORDS[kind]:10}{''.join(f'{ratio:>12}' for ratio in ratios)}")
    return "\n".join(lines)


def draw(workdir: str | Path) -> list[Path]:
    """Draws first_block and, for each run, flow_plain20, ... (.png, .svg) from the results of `gradients`."""
    folder = Path(workdir)
    results = json.loads((folder / "results.json").read_text())
    places = _places(results)
    panels = {
        place: {
            WORDS[kind]: (list(map(int, by_depth)), [ends["first"] / ends["last"] for ends in by_depth.values()])
            for kind, by_depth in kinds.items()
        }
        for place, kinds in places.items()
    }
    paths = draw_lines(
        panels, folder / "first_block", x="layers", y="gradient of the first block,\ndivided by the last one's", level=1
    )
    for kind, by_depth in results["training"].items():
        for depth in by_depth:
            flow = read_flow(folder / f"{kind}{depth}")
            paths += draw_flow(flow, folder / f"flow_{kind}{depth}", f"{WORDS[kind]}, {depth} layers")
    return paths
