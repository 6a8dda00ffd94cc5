"""resnet-jax recalibrate: new running statistics for trained weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from resnet_jax.cli.shared import THE_RUNS_BATCHES, Run, check_data_exists, ema_option, metric_titles, step_option
from resnet_jax.config import Place, argument, option

NEEDS_DEVICES = True
LESS_MEMORY = THE_RUNS_BATCHES


@dataclass(frozen=True)
class Request:
    """Estimate running statistics again, as averages over training images with the weights as they are, in a new run.

    Tests before and after. The run itself does not change.
    """

    run: Run = argument("folder of a run")
    out: Place | None = option(None, "folder of the new run", none="RUN-recalibrated")
    step: str = step_option()
    ema: bool = ema_option()
    batches: int | None = option(None, "number of batches of training images", none="an epoch of full batches")
    json: bool = option(False, "print one JSON object")


def run(request: Request) -> None:
    from resnet_jax.files import to_json
    from resnet_jax.runs.files.config_file import read_config
    from resnet_jax.runs.loop.compilation import cache_compilations
    from resnet_jax.runs.planning.sequence_data import data_kind
    from resnet_jax.runs.saved.recalibrate import recalibrate
    from resnet_jax.tasks import get_task
    from resnet_jax.text import decimals
    from resnet_jax.types import nouns_of

    check_data_exists(request.run)
    cache_compilations()
    out = request.out or f"{Path(request.run)}-recalibrated"
    record = recalibrate(request.run, out, step=request.step, ema=request.ema, batches=request.batches)
    if request.json:
        print(to_json({"run": request.run, "out": out, "ema": request.ema, **record}))
        return
    weights = ", averaged weights" if request.ema else ""
    config = read_config(request.run)
    many = nouns_of(data_kind(config), get_task(config.task).label_kind)[1]
    examples = f"over {record['images']:,} of {record['training_images']:,} training {many}, in full batches"
    print(f"{request.run}, step {record['step']}{weights}, {examples}, now in {out}")
    titles = metric_titles(request.run)
    for when in ("before", "after"):
        results = dict(record[when])
        count = results.pop("images")
        whole = {name: value for name, value in results.items() if "/" not in name}
        numbers = ", ".join(f"{titles.get(name, name)} {decimals(value)}" for name, value in whole.items())
        print(f"{when}: test {numbers} ({count} {many})")
