"""Time and memory of loading weights: python benchmarks/weights.py [--model resnet50] [--formats safetensors npz]

Files with random values are written in each format, and each is loaded by `load_pretrained` in a new process: seconds,
beside those of `safetensors.numpy.load_file` for the same arrays (the first time includes tracing the net for its
shapes), and the highest anonymous memory while it loads (file pages are not counted), as a multiple of the variables'
size. Formats of PyTorch are written if torch is installed. Linux; about a minute on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import load_file, save_file

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
cpu, seconds = time.process_time() - cpu, time.perf_counter() - start
done.set()
thread.join()
size = sum(leaf.nbytes for leaf in jax.tree.leaves(variables))
start = time.perf_counter()
load_pretrained(path, model=model)
again = time.perf_counter() - start
memory = max([*samples, anonymous()]) - before
print(json.dumps({"seconds": seconds, "cpu": cpu, "again": again, "size": size, "memory": memory}))
"""
LIBRARY = """
import sys, time
from safetensors.numpy import load_file
start = time.perf_counter()
arrays = load_file(sys.argv[1])
print(time.perf_counter() - start)
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


def child(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--formats", nargs="*", choices=list(writers()), default=list(writers()))
    options = parser.parse_args(argv)
    state = random_state(options.model)
    with tempfile.TemporaryDirectory() as folder:
        save_file(state, library_file := Path(folder) / "library.safetensors")
        load_file(library_file)  # into the page cache
        library = min(float(child(LIBRARY, str(library_file))) for _ in range(3))
        print(f"{options.model}: safetensors.numpy.load_file takes {library:.3f} s")
        for name in options.formats:
            path = Path(folder) / f"weights.{'npz' if 'npz' in name else 'file'}"
            writers()[name](state, path)
            numbers = json.loads(child(CHILD, str(path), options.model))
            allowed = 1.2 * library + 0.5
            print(
                f"{name:18} {numbers['seconds']:.3f} s, {numbers['cpu']:.3f} s of a processor (goal {allowed:.3f} s), "
                f"a second time {numbers['again']:.3f} s; "
                f"anonymous memory {numbers['memory'] / numbers['size']:.2f} times the variables (goal 1.3)"
            )


if __name__ == "__main__":
    main()
