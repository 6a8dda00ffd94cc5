"""Lines that a run prints, and advice in its errors."""

from __future__ import annotations

import shlex
from pathlib import Path

from resnet_jax.config import Config
from resnet_jax.data.sources.label_kinds import count_in_words
from resnet_jax.distributed.devices import Parallel
from resnet_jax.extras import install_command, is_installed
from resnet_jax.runs.planning.model_options import parse_options
from resnet_jax.runs.planning.plan import RunPlan


def headline(plan: RunPlan, parallel: Parallel, directory: Path, start: int) -> str:
    """Two lines: the data; then the model, the devices, the length and the run directory."""
    count, device = len(parallel.devices), parallel.devices[0]
    where = f"{count} {device.device_kind} device{'s' if count > 1 else ''} ({parallel.mode})"
    resuming = f", resuming from step {start}" if start else ""
    many = plan.nouns[1]
    images = f"{plan.train.num_examples:,} training {many}, {plan.test.num_examples:,} test {many}"
    data = f"{plan.data_name}: {images}, {count_in_words(plan.task.label_kind, len(plan.train.classes))}"
    processes = f" in {parallel.share[1]} processes" if parallel.share[1] > 1 else ""
    net = plan.config.model.name
    if (tower := parse_options(plan.config.model.options).get("image_tower")) is not None:
        net = f"{net} with {tower}"
    return f"{data}\n{net}, {where}{processes}: {plan.steps} steps in {directory}{resuming}"


def next_commands(workdir: str, step: str, noun: str = "image", *, pairs: bool = False) -> str:
    """Commands to type after a run of examples that are called `noun`, or of `pairs` with texts, for a checkpoint."""
    run, option = shlex.quote(workdir), "" if step == "latest" else f" --step {step}"
    install = "" if is_installed("matplotlib") else f" (after {install_command('matplotlib')})"
    predict = f"resnet-jax predict {run} {noun.upper()}{option}"
    if pairs:
        predict = f"resnet-jax retrieve {run} FOLDER TEXT{option}"
    return f"{predict}, resnet-jax eval {run}{option}, resnet-jax plot {run}{install}"


def less_memory(config: Config) -> str:
    """Advice: options that reduce the memory of a training step."""
    data, model, parts = config.data, config.model, config.optim.accumulate
    options = [f"a lower --data.batch-size (now {data.batch_size})", f"--optim.accumulate {2 * parts} (now {parts})"]
    if model.remat == "none":
        options.append("--model.remat block")
    if model.dtype == "float32":
        options.append("--model.dtype bfloat16")
    return f"{', '.join(options)} use less; a run with a checkpoint also needs --resume.allow-changes"
