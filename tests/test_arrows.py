"""Imports point one way: types -> ops -> models -> weights, analysis, training; data -> training; the cli last."""

import ast
import sys
from pathlib import Path

import pytest

import resnet_jax

ROOT = Path(resnet_jax.__file__).parent
PARTS = ("branches", "shortcuts", "combine", "stems", "heads", "attention")
MODEL_PARTS = tuple(f"models.{part}" for part in PARTS)
DOOR = tuple(f"training.{part}" for part in ("loop", "plan", "folder", "replay", "recalibrate", "session"))
ROOMS = ("types", "config", "files", "nearest", "models", "weights", "data", "analysis", "training", "experiments")
ALLOWED = {  # room: what it may import, by longest matching prefix
    "types": (),
    "nearest": (),
    "extras": (),
    "files": ("nearest",),
    "config": ("files", "nearest"),
    "ops": ("types", "ops"),
    "data": ("types", "ops", "extras", "files", "nearest", "data"),
    "models.partials": ("ops",),
    "models.layers": ("types", "ops", "models.partials"),
    **{part: ("types", "ops", "models.layers") for part in MODEL_PARTS},
    "models.branches": ("types", "ops", "models.layers", "models.attention"),
    "models.blocks": ("types", "models.layers", "models.partials", *MODEL_PARTS),
    "models.options": ("ops", "models.partials", "models.heads"),
    "models.resnet": ("types", "ops", "models.layers", "models.options", "models.partials", *MODEL_PARTS),
    "models.skipnet": ("types", "ops", "models.layers", "models.resnet", *MODEL_PARTS),
    "models.zoo": ("ops", "models"),
    "models": ("types", "ops", "nearest", "models"),
    "weights": ("types", "files", "nearest", "models", "weights"),
    "analysis": ("types", "ops", "extras", "nearest", "models", "analysis"),
    "training": ("types", "extras", "files", "nearest", "ops", "models", "data", "training"),
    "training.init": ("types", "files", "nearest", "models", "weights", "training"),
    # Config stops at the door of the loop.
    **{part: ("types", "config", "extras", "files", "nearest", "models", "data", "training") for part in DOOR},
    "experiments": ("types", "config", "extras", "models", "data", "analysis", "training", "experiments"),
    "experiments.settings": ("config",),
    "arguments": ("files", "nearest"),
    "cli": ("", "arguments", "config", "files", "nearest", "commands", "training.folder", "experiments.settings"),
    "survey": ("types", "config", "data", "analysis", "training"),
    "evaluation": ("analysis", "data", "training"),
    "commands": (*ROOMS, "survey", "evaluation"),
    "__main__": ("cli",),
    "": ("types", "models", "analysis", "weights", "training"),
}
ONE_FILE = {  # heavy packages, and the one place that imports each
    "orbax": {"training/checkpoint.py"},
    "tensorflow_datasets": {"data/tfds.py"},
    "PIL": {"data/images.py"},
    "grain": {"data/photographs.py"},
    "pyarrow": {"data/parquet.py"},
    "tensorboardX": {"training/writers.py"},
    "wandb": {"training/writers.py"},
    "matplotlib": {"analysis/figures.py"},
    "shtab": {"arguments.py"},
    "rich": {"training/report.py"},
    "safetensors": {"weights/readers.py"},
}
FILES = sorted(ROOT.rglob("*.py"))


def room(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            module = node.module or ""
            for alias in node.names:
                inner = ROOT.parent / Path(*module.split("."), alias.name)
                yield f"{module}.{alias.name}" if inner.is_dir() or inner.with_suffix(".py").exists() else module


def longest(name, prefixes):
    return max((p for p in prefixes if not p or name == p or name.startswith(f"{p}.")), key=len)


@pytest.mark.parametrize("file", FILES, ids=[room(file) or "resnet_jax" for file in FILES])
def test_imports_follow_the_arrows(file):
    here = room(file)
    allowed = ALLOWED[longest(here, ALLOWED)] if here else ALLOWED[""]
    for name in imports(file):
        if name == "resnet_jax" or name.startswith("resnet_jax."):
            target = name.removeprefix("resnet_jax").removeprefix(".")
            assert any(target == a or target.startswith(f"{a}.") for a in allowed), f"{here} imports {name}"
        package = name.partition(".")[0]
        if package in ONE_FILE:
            assert file.relative_to(ROOT).as_posix() in ONE_FILE[package], f"{here} imports {package}"


def test_config_needs_the_standard_library_alone():
    for file in ("config.py", "extras.py", "files.py", "nearest.py"):
        outside = set(imports(ROOT / file)) - {"resnet_jax.files", "resnet_jax.nearest"}
        assert {name.partition(".")[0] for name in outside} <= set(sys.stdlib_module_names)


def test_only_the_command_line_and_the_experiments_import_the_loop():
    rooms = {room(file).partition(".")[0] for file in FILES if "resnet_jax.training.loop" in imports(file)}
    assert rooms == {"commands", "experiments"}


@pytest.mark.parametrize("file", FILES, ids=[room(file) or "resnet_jax" for file in FILES])
def test_only_parallel_knows_of_devices(file):
    if room(file) != "training.parallel":
        for word in ("jax.pmap", "shard_map(", "Mesh("):
            assert word not in file.read_text(), word
