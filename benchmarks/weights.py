"""Time and memory of loading weights: python benchmarks/weights.py [--model resnet50] [--formats safetensors npz]

Files with random values are written in each format, and each is loaded by `load_pretrained` in new processes. They take
turns with processes in which `safetensors.numpy.load_file` reads the same arrays. One JSON line for each format has the
shortest times of `--rounds` processes: seconds and processor seconds of `load_file`, of our first load, which traces
the net for its shapes, and of a second one; and the highest anonymous memory while it loads (file pages are not
counted), as a multiple of the variables. The goals are 1.2 times `load_file` and half a second for the first load, and
1.3 times the variables. Formats of PyTorch are written if torch is installed. Linux; about a minute on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import load_file, save_file
from turns import machine, net_case

from resnet_jax import create_model
from resnet_jax.models import get_spec, shapes
from resnet_jax.weights.convert import to_state
from resnet_jax.weights.names import Names

CHILD = """
import json, re, sys, threading, time
from pathlib import Path
import jax, numpy, safetensors.numpy
from resnet_jax import create_model, load_pretrained
from resnet_jax.models import shapes
path, model = sys.argv[1:]

def anonymous():
    return 1024 * int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def sample():
    while not done.is_set():
        samples.append(anonymous())
        time.sleep(0.002)

load_pretrained  # imported
before, samples, done = anonymous(), [], threading.Event()
thread = threading.Thread(target=sample)
thread.start()
cpu, start = time.process_time(), time.perf_counter()
variables = load_pretrained(path, model=model).variables
first = time.perf_counter() - start, time.process_time() - cpu
done.set()
thread.join()
size = sum(leaf.nbytes for leaf in jax.tree.leaves(variables))
memory = (max([*samples, anonymous()]) - before) / size
cpu, start = time.process_time(), time.perf_counter()
load_pretrained(path, model=model)
second = time.perf_counter() - start, time.process_time() - cpu
print(json.dumps({"first": first, "second": second, "memory": memory}))
"""
LIBRARY = """
import json, sys, time
from safetensors.numpy import load_file
cpu, start = time.process_time(), time.perf_counter()
arrays = load_file(sys.argv[1])
print(json.dumps({"first": [time.perf_counter() - start, time.process_time() - cpu]}))
"""


def random_state(model: str) -> dict[str, np.ndarray]:
    """A state dict of the net with timm's names."""
    spec, rng = get_spec(model), np.random.default_rng(0)
    net = create_model(model)
    variables = jax.tree.map(lambda x: rng.random(x.shape, np.float32), shapes(net, net.image_size).variables)
    names = Names("timm", spec.name_tables["timm"])
    return {name: np.ascontiguousarray(x) for name, x in to_state(variables, names).items()}


def writers() -> dict[str, Callable[[dict[str, np.ndarray], Path], None]]:
    """A function for each format that can be written here."""

    def write_pickle(state: dict[str, np.ndarray], path: Path) -> None:
        path.write_bytes(pickle.dumps({"model": state}, 4))

    formats: dict[str, Callable[[dict[str, np.ndarray], Path], None]] = {
        "safetensors": save_file,
        "npz": lambda state, path: np.savez(path, **state),
        "npz, compressed": lambda state, path: np.savez_compressed(path, **state),
        "pickle": write_pickle,
    }
    try:
        import torch
    except ImportError:
        return formats

    def write_torch(state: dict[str, np.ndarray], path: Path, is_zip: bool) -> None:
        tensors = {name: torch.from_numpy(x) for name, x in state.items()}
        torch.save(tensors, path, _use_new_zipfile_serialization=is_zip)

    formats["torch"] = lambda state, path: write_torch(state, path, True)
    formats["torch before 1.6"] = lambda state, path: write_torch(state, path, False)
    return formats


def child(code: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def shortest(loads: list[dict[str, Any]], name: str) -> tuple[float, float]:
    """Seconds and processor seconds, each the least of all processes."""
    return min(load[name][0] for load in loads), min(load[name][1] for load in loads)


def record(model: str, name: str, library: list[dict[str, Any]], ours: list[dict[str, Any]]) -> dict[str, Any]:
    """The numbers of a format, and whether they reach the goals."""
    seconds, processor = shortest(library, "first")
    first, second = shortest(ours, "first"), shortest(ours, "second")
    memory = max(load["memory"] for load in ours)
    goals = 1.2 * seconds + 0.5, 1.2 * processor + 0.5
    return {
        "benchmark": "weights",
        "net": model,
        "format": name,
        "library_seconds": round(seconds, 3),
        "library_processor_seconds": round(processor, 3),
        "first_seconds": round(first[0], 3),
        "first_processor_seconds": round(first[1], 3),
        "second_seconds": round(second[0], 3),
        "second_processor_seconds": round(second[1], 3),
        "memory": round(memory, 2),
        "reaches_goals": first[0] <= goals[0] and first[1] <= goals[1] and memory <= 1.3,
        "rounds": len(ours),
    } | {library: version(library) for library in ("jax", "flax", "numpy", "safetensors")}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=net_case, default="resnet50")
    parser.add_argument("--formats", nargs="*", choices=list(writers()), default=list(writers()))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(argv)
    state = random_state(options.model)
    with tempfile.TemporaryDirectory() as folder:
        save_file(state, library_file := Path(folder) / "library.safetensors")
        load_file(library_file)  # into the page cache
        for name in options.formats:
            path = Path(folder) / f"weights.{'npz' if 'npz' in name else 'file'}"
            writers()[name](state, path)
            library, ours = [], []
            for _ in range(options.rounds):
                library.append(child(LIBRARY, str(library_file)))
                ours.append(child(CHILD, str(path), options.model))
            print(json.dumps(record(options.model, name, library, ours) | machine()), flush=True)


if __name__ == "__main__":
    main()
