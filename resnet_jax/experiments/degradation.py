"""Degradation: deeper plain nets are harder to train, deeper residual nets are not (He et al. 2015, section 4)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from resnet_jax.analysis.curve_plots import draw_errors
from resnet_jax.analysis.curves import Curve, read_curves
from resnet_jax.analysis.plots import draw_responses
from resnet_jax.analysis.responses import layer_responses
from resnet_jax.config import Config
from resnet_jax.experiments.runs import load_trained, net_name, run_all
from resnet_jax.files import replace_file

ENDS = ("train_loss", "train_error", "test_loss", "test_error")
KINDS = ("plain", "resnet", "highway")
WORDS = {"plain": "plain", "resnet": "residual", "highway": "Highway"}  # in tables and figures


def degradation(config: Config, depths: Sequence[int], seeds: Sequence[int], kinds: Sequence[str] = KINDS) -> Path:
    """Trains CIFAR nets of every kind and depth on the same data; returns the path of results.json in the workdir.

    Each run uses `config` with a directory of its own in the workdir: "plain20_seed0", ... Finished runs are not
    repeated. results.json has loss and error of each run, in training (mean over the last epoch) and in the test (None
    for a diverged run), and the layer responses of the first seed's nets.
    """
    runs = {
        (kind, depth, seed): replace(
            config,
            workdir=f"{config.workdir}/{kind}{depth}_seed{seed}",
            model=replace(config.model, name=net_name(kind, depth)),
            train=replace(config.train, seed=seed),
        )
        for kind in kinds
        for depth in depths
        for seed in seeds
    }
    diverged = run_all(runs.values())
    table: list[dict[str, Any]] = []
    responses = {}
    for (kind, depth, seed), run in runs.items():
        has_diverged = run.workdir in diverged
        ends = dict.fromkeys(ENDS) if has_diverged else _end(read_curves([run.workdir])[0], run.train.epochs)
        table.append({"kind": kind, "depth": depth, "seed": seed, **ends})
        if seed == seeds[0] and not has_diverged:
            net, test = load_trained(run)
            images = net.preprocess(jnp.asarray(next(test.eval_batches(min(256, test.num_examples)))["image"]))
            deviations = layer_responses(net.model, net.variables, images)
            responses[f"{kind}-{depth}"] = [value for path, value in deviations.items() if path.startswith("stage")]
    results = Path(config.workdir) / "results.json"
    replace_file(
        results, json.dumps({"experiment": "degradation", "runs": table, "responses": responses}, indent=1) + "\n"
    )
    return results


def _end(curve: Curve, epochs: float) -> dict[str, float]:
    """Loss and error of a run: training over the last epoch, and the last test."""
    last = curve.train_steps > curve.train_steps[-1] - round(curve.train_steps[-1] / max(1, epochs))
    return {
        "train_loss": float(np.nanmean(curve.train_loss[last])),
        "train_error": 1 - float(np.nanmean(curve.train_top1[last])),
        "test_loss": float(curve.test_loss[-1]),
        "test_error": 1 - float(curve.test_top1[-1]),
    }


def table(results: dict[str, Any]) -> str:
    """Errors by kind and depth, one column per seed."""
    lines = [f"{'':14}{'training error, training loss; test error (one column per seed)'}"]
    groups: dict[str, list[str]] = {}
    for run in results["runs"]:
        shown = "diverged"
        if run["train_error"] is not None:
            shown = f"{100 * run['train_error']:.2f} % {run['train_loss']:.4f}; {100 * run['test_error']:.2f} %"
        groups.setdefault(f"{WORDS[run['kind']]}, {run['depth']}", []).append(shown)
    return "\n".join([*lines, *(f"{name:14}{'   '.join(shown)}" for name, shown in groups.items())])


def draw(workdir: str | Path) -> list[Path]:
    """Draws errors and responses (.png, .svg) from the results of `degradation` in its workdir; returns the paths."""
    folder = Path(workdir)
    results = json.loads((folder / "results.json").read_text())
    kinds: dict[str, dict[int, list[Curve]]] = {}
    for run in results["runs"]:
        if run["train_error"] is None:
            continue
        (curve,) = read_curves([folder / f"{run['kind']}{run['depth']}_seed{run['seed']}"])
        kinds.setdefault(WORDS[run["kind"]], {}).setdefault(run["depth"], []).append(curve)
    if not kinds:
        raise ValueError(f"expected a run with finite losses to draw, got none: every run in {folder} has diverged")
    responses: dict[str, dict[int, list[float]]] = {}
    for name, values in results["responses"].items():
        kind, _, depth = name.rpartition("-")
        responses.setdefault(WORDS[kind], {})[int(depth)] = values
    classes = {curve.classes for depths in kinds.values() for curves in depths.values() for curve in curves}
    chance = 1 - 1 / number if len(classes) == 1 and (number := classes.pop()) else None
    return draw_errors(kinds, folder / "errors", chance=chance) + draw_responses(responses, folder / "responses")
