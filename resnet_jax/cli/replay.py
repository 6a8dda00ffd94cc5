"""resnet-jax replay: one step of a run again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from resnet_jax.cli.shared import THE_RUNS_BATCHES, Run, check_data_exists, metric_titles
from resnet_jax.config import argument, option

NEEDS_DEVICES = True
LESS_MEMORY = THE_RUNS_BATCHES


@dataclass(frozen=True)
class Request:
    """Repeat one step of a run, from the newest checkpoint before it: its loss, and its training examples.

    The run itself does not change.
    """

    run: Run = argument("folder of a run")
    at: Annotated[int, "STEP"] = argument("the step, as metrics.jsonl counts them")
    json: bool = option(False, "print one JSON object")


def run(request: Request) -> None:
    from resnet_jax.files import to_json
    from resnet_jax.runs.loop.compilation import cache_compilations
    from resnet_jax.runs.saved.replay import replay

    check_data_exists(request.run)
    cache_compilations()
    record = replay(request.run, request.at)
    if request.json:
        print(to_json(record))
        return
    titles = {"loss": "loss", **metric_titles(request.run)}
    titles |= {"grad_norm": "gradient norm", "learning_rate": "learning rate"}
    metrics = "  ".join(f"{title} {record[name]!r}" for name, title in titles.items() if name in record)
    print(f"{request.run}, step {record['step']}, from checkpoint {record['checkpoint']}: {metrics}")
    print("training examples:")
    for index, name in zip(record["examples"], record["names"], strict=True):
        print(f"{index:>8}  {name}")
    devices, here = record["devices"]["run"], record["devices"]["here"]
    if devices not in (None, here):
        print(f"note: the run had {devices} devices, this machine has {here}: the numbers may differ from the run's")
