"""What several devices cost: measured on simulated ones, and computed for a pod.

    python benchmarks/scaling.py                      (1, 2, 4 and 8 simulated devices, a fixed batch on each)
    python benchmarks/scaling.py --plan               (the table for TPU and GPU pods; nothing is measured)

Simulated devices are threads of one machine, so n of them have n times the work for the same cores. `overhead` is
t(n) / (n t(1)) - 1 with t the median step: what is beyond n times the work of one device, for the mapping, the
all-reduces and smaller pieces of work. It says nothing about a network. Each number of devices is a process; they take
turns. The line has the all-reduces of the compiled program, too. About five minutes on two CPU cores.

The plan adds the step of one device, t = bound / share (bound.py: separate kernels, with the published rates of the
device), and one ring all-reduce of float32 gradients and running statistics after it, not overlapped:
a = 2 (n - 1) / n bytes / link + 2 (n - 1) latency for a ring; on a torus of d axes of n^(1/d) devices each axis in turn
takes its part, so that the latency counts the hops along one axis, d times. Share of the network: a / (t + a).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import step
from turns import Worker, machine, serve, sized_case, take_turns

MODES = ("pmap", "shard_map")


class Pod(NamedTuple):
    """Published rates of a device and of its link, bytes a second in one direction."""

    flops: float
    bandwidth: float
    link: float
    axes: int  # of the torus; 1: a ring through a network of switches
    latency: float  # of a hop, seconds: an assumption
    per_device: int  # images
    devices: tuple[int, ...]
    source: str


PODS = {
    "TPU v5e": Pod(
        197e12,
        819e9,
        200e9,
        2,
        1e-6,
        64,
        (16, 64, 256),
        "https://cloud.google.com/tpu/docs/v5e: ICI 400 GB/s, both ways",
    ),
    "TPU v5p": Pod(
        459e12,
        2765e9,
        600e9,
        3,
        1e-6,
        64,
        (64, 256, 512),
        "https://cloud.google.com/tpu/docs/v5p: ICI 1200 GB/s, both ways",
    ),
    "H100 SXM, 400 Gb/s InfiniBand each": Pod(
        989e12,
        3350e9,
        50e9,
        1,
        5e-6,
        128,
        (16, 64, 256),
        "NVIDIA H100 and DGX H100 datasheets: eight 400 Gb/s ports for eight GPUs",
    ),
}
SHARE = 0.75  # of the bound that a step reaches: an assumption


def all_reduce_seconds(size: float, devices: int, pod: Pod) -> float:
    """Of `size` bytes on each of `devices`."""
    side = devices ** (1 / pod.axes)
    return 2 * (devices - 1) / devices * size / pod.link + pod.axes * 2 * (side - 1) * pod.latency


def plan(net: str, size: int, name: str, devices: int) -> dict[str, Any]:
    """One row of the table for a pod."""
    import jax
    from bound import Device, kernels, least_seconds

    from resnet_jax import create_model
    from resnet_jax.models import shapes

    pod, model = PODS[name], create_model(net, dtype="bfloat16")
    listed = kernels(model, (pod.per_device, size, size, 3))
    seconds = least_seconds(listed, Device(pod.flops, pod.bandwidth), "training") / SHARE
    sent = 4 * sum(x.size for x in jax.tree.leaves(shapes(model, size).variables))
    network = all_reduce_seconds(sent, devices, pod)
    return {
        "benchmark": "plan",
        "net": net,
        "size": size,
        "pod": name,
        "devices": devices,
        "batch": devices * pod.per_device,
        "mib": round(sent / 2**20, 1),
        "step_seconds": round(seconds, 5),
        "all_reduce_seconds": round(network, 6),
        "network_share": round(network / (seconds + network), 4),
        "images_per_second": round(devices * pod.per_device / (seconds + network)),
        "source": pod.source,
    }


def simulated(
    net: str, examples: int, size: int, mode: str, devices: int
) -> tuple[Callable[[], object], dict[str, Any]]:
    """The step on simulated devices with `examples` on each."""
    import jax

    from resnet_jax import TrainState, create_model, make_train_step
    from resnet_jax.distributed.devices import Parallel
    from resnet_jax.training.optim import sgd

    model = create_model(net)
    tx = sgd(step.LR, momentum=step.MOMENTUM, weight_decay=step.DECAY)
    parallel = Parallel(mode, jax.devices()[:devices])
    images, labels = step.batch(net, devices * examples, size)
    batch = parallel.shard({"image": images, "label": labels.astype(np.int32)})
    state = parallel.replicate(TrainState.create(model, tx, jax.random.key(0), images[:1]))
    mapped = parallel.map(make_train_step(model, tx), donate_state=True)
    program = mapped.lower(state, batch).compile().as_text()
    states = [state]

    def train() -> None:
        states[0], _ = jax.block_until_ready(mapped(states[0], batch))

    count = len(re.findall(r" all-reduce(?:-start)?\(", program))
    return train, {"jax": jax.__version__, "all_reduces": count}


def measure(case: str, mode: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    net, examples, size = case.split(":")
    workers = {}
    for devices in map(str, options.devices):
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={devices}"
        command = [sys.executable, Path(__file__), "--worker", "--nets", case, "--modes", mode, "--devices", devices]
        workers[devices] = Worker(command)
    times = take_turns(workers, rounds=options.rounds, steps=options.steps)
    records, one = [], statistics.median(next(iter(times.values()))) / options.devices[0]
    for devices, worker in workers.items():
        worker.close()
        about = {name: value for name, value in worker.about.items() if name != "first_seconds"}
        record = {"benchmark": "scaling", "net": net, "batch": int(examples), "size": int(size), "mode": mode}
        seconds = statistics.median(times[devices])
        record |= {"devices": int(devices), "seconds": round(seconds, 5)}
        record["seconds_range"] = [round(min(times[devices]), 5), round(max(times[devices]), 5)]
        record["overhead"] = round(seconds / (int(devices) * one) - 1, 3)
        records.append(record | about | machine())
    return records


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--nets", type=sized_case, nargs="+", default=["cifar_resnet20:32:32"], metavar="NAME:BATCH:SIZE"
    )
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--devices", nargs="+", type=int, default=[1, 2, 4, 8], help="the first one is compared with")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="steps of a round")
    parser.add_argument("--plan", action="store_true", help="compute the table for pods, for ResNet-50 at 224 px")
    parser.add_argument("--worker", action="store_true", help="be the process of the one number of devices")
    options = parser.parse_args(argv)
    if options.plan:
        for name, pod in PODS.items():
            for devices in pod.devices:
                print(json.dumps(plan("resnet50", 224, name, devices)), flush=True)
        return
    for case in options.nets:
        for mode in options.modes:
            if options.worker:
                net, examples, size = case.split(":")
                run, about = simulated(net, int(examples), int(size), mode, options.devices[0])
                serve(run, about=about)
            else:
                for record in measure(case, mode, options):
                    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
