"""Imports point one way: errors, files <- metrics <- models <- tasks <- training <- evaluation <- runs <- cli."""

import ast
import sys
from pathlib import Path

import pytest

import resnet_jax

ROOT = Path(resnet_jax.__file__).parent
BASE = ("types", "errors", "files", "extras", "text")
PARTS = ("branches", "shortcuts", "combine", "stems", "heads", "attention")
MODEL_PARTS = tuple(f"models.{part}" for part in PARTS)
BLOCKS = ("deprecated", "initializers", "layers", "context", "protocols")
BLOCK_BASE = tuple(f"models.{name}" for name in BLOCKS)
BELOW_RUNS = (
    *("ops", "metrics", "models", "inputs", "data", "formats", "weights", "tasks", "training"),
    *("checkpoints", "distributed", "evaluation", "analysis", "texts"),
)
INSIDE_RUNS = ("runs.files", "runs.planning", "runs.starting")
ALLOWED = {  # room: what it may import, by longest matching prefix
    "types": ("images",),
    "errors": (),
    "extras": ("errors",),
    "moved": (),
    "old_names": ("moved",),
    "files": ("errors",),
    "text": (),
    "images": ("errors", "files", "images"),
    "audio": ("errors", "extras", "files", "audio"),
    "texts": ("errors", "extras", "files", "texts"),
    "data.tokenizer": ("inputs", "texts"),
    "config": ("errors", "files", "config"),
    "ops": ("types", "ops"),
    "metrics": (*BASE, "images", "metrics"),  # masks as run lengths
    "models.partials": ("ops",),
    "models.deprecated": ("old_names",),
    "models.initializers": ("types",),
    "models.layers": ("types", "ops", "models.deprecated", "models.initializers"),
    "models.sequence.lengths": ("types", "ops"),
    "models.sequence": (
        "types",
        "ops",
        "models.options",
        "models.partials",
        "models.resnet",
        *BLOCK_BASE,
        *MODEL_PARTS,
        "models.sequence",
    ),
    "models.context": (
        "types",
        "ops",
        "models.deprecated",
        "models.partials",
        "models.initializers",
        "models.layers",
        "models.sequence.lengths",
    ),
    "models.protocols": ("types", "models.initializers", "models.context"),
    **{part: ("types", "ops", *BLOCK_BASE) for part in MODEL_PARTS},
    "models.branches": ("types", "ops", *BLOCK_BASE, "models.attention"),
    "models.blocks": ("types", "models.partials", *BLOCK_BASE, *MODEL_PARTS),
    "models.options": ("ops", "models.partials"),
    "models.around": ("types", "models.resnet"),
    "models.phases": (),
    "models.resnet": (
        "types",
        "ops",
        "models.options",
        "models.partials",
        "models.sequence.lengths",
        *BLOCK_BASE,
        *MODEL_PARTS,
    ),
    "models.skipnet": ("types", "ops", *BLOCK_BASE, "models.phases", "models.resnet", *MODEL_PARTS),
    "models.sorting": (),
    # Decoders take the feature maps of a net: they know its class, and no row of the registry.
    "models.decoders": (
        "types",
        "ops",
        "models.around",
        "models.options",
        "models.partials",
        "models.resnet",
        *BLOCK_BASE,
        "models.decoders",
    ),
    "models.published": ("types", "errors"),
    "models.spec": ("types", "models.options", "models.partials", "models.published"),
    "models.zoo.libraries": ("types", "models.layers", "models.partials", "models.spec"),
    "models.zoo": (
        *("types", "ops", "models.initializers", "models.layers", "models.partials", "models.resnet", "models.skipnet"),
        *("models.spec", "models.blocks", "models.zoo", "models.decoders", "models.sequence", "models.image_text"),
        *MODEL_PARTS,
    ),
    "models.inspect": ("types", "ops", "models.options", "models.registry", "models.resnet"),
    "models": (*BASE, "ops", "models"),
    # Sources know no format, and formats no loader: `data` itself opens what `formats` reads.
    "data.sources": (*BASE, "images", "data.sources"),
    **{f"data.{name}": ("types", "data.sources") for name in ("digits", "vowels")},
    "data.scenes": ("types", "images", "data.sources", "data.digits", "data.scenes"),
    "data.augment": (*BASE, "ops", "data.sources.annotations", "data.augment"),
    "data.loading": (*BASE, "images", "inputs", "ops", "data.sources", "data.loading"),
    "formats": (*BASE, "images", "data.sources", "data.loading.threads", "data.vowels", "formats"),
    "data": (*BASE, "images", "inputs", "ops", "formats", "data"),
    "inputs": (*("types", "errors", "files", "ops", "audio"), "texts", "inputs"),
    "weights": (*BASE, "inputs", "models", "weights"),
    "weights.sources": (*BASE, "models.published", "weights.readers", "weights.sources"),
    "weights.checkpoint": (*BASE, "inputs", "models", "tasks", "training", "checkpoints"),
    "analysis": (*BASE, "ops", "metrics", "models", "analysis"),
    "tasks": (*BASE, "images", "ops", "metrics", "models.registry", "tasks"),
    # Training names no task and no family of nets; `steps` has the training step of classification.
    "training": (*BASE, "ops", "metrics", "models.layers", "models.sorting", "training"),
    "training.step": ("errors", "types", "models.options", "training"),
    "steps": ("types", "metrics", "tasks.classification", "tasks.losses", "training"),
    "distributed": (*BASE, "distributed"),
    "checkpoints": (*BASE, "distributed", "inputs", "checkpoints"),
    "evaluation": (*BASE, "metrics", "tasks", "training", "images", "data", "formats", "distributed", "evaluation"),
    "evaluation.zero_shot": ("types", "text", "ops", "models", "texts", "evaluation"),
    "evaluation.retrieval": ("errors", "types", "ops", "models", "evaluation"),
    "evaluation.features": ("errors", "files", "types", "models", "evaluation"),
    "runs.files": (*BASE, "config", *BELOW_RUNS, "runs.files"),
    "runs.planning": (*BASE, "config", *BELOW_RUNS, "runs.files", "runs.planning"),
    "runs.starting": (*BASE, "config", *BELOW_RUNS, "runs.files", "runs.planning", "runs.starting"),
    "runs.loop": (*BASE, "config", *BELOW_RUNS, *INSIDE_RUNS, "runs.loop"),
    "runs.saved": (*BASE, "config", *BELOW_RUNS, *INSIDE_RUNS, "runs.saved"),
    "runs": (*BASE, "config", *BELOW_RUNS, "runs"),
    "experiments": (*BASE, "config", *BELOW_RUNS, "steps", "runs", "experiments"),
    "experiments.settings": ("config",),
    "cli.messages": ("config",),
    "cli.suggestions": ("errors",),
    "cli.values": ("errors", "cli.messages"),
    "cli.arguments": ("errors", "files", "cli.messages", "cli.suggestions", "cli.values"),
    "cli.shared": ("config", "files", "text", "cli.messages", "runs.files.config_file", "tasks"),
    "cli.main": ("", "errors", "old_names", "cli"),
    "cli": (*BASE, "images", "config", *BELOW_RUNS, "runs", "experiments", "cli"),
    "__main__": ("cli",),
    "create": ("types", "errors", "models.registry", "models.published", "weights"),
    "": ("types", "old_names", "create", "models", "analysis", "weights", "steps", "training"),
}
INSIDE_FUNCTIONS = {  # drawing, imported when it draws
    "tasks.classification": ("analysis.confusion",),
    "tasks.contrastive": ("analysis.similarity",),
    "tasks.dense_predictions": ("analysis.contact_sheet", "analysis.drawing"),
}
ONE_FILE = {  # heavy packages, and the one place that imports each
    "orbax": {"checkpoints/manager.py", "checkpoints/reader.py"},
    "tensorflow_datasets": {"formats/tfds.py"},
    "PIL": {
        "images/decoding.py",
        "images/crops.py",
        "images/label_maps.py",
        "analysis/contact_sheet.py",
        "analysis/drawing.py",
        "analysis/sequence_drawing.py",
    },
    "grain": {"data/loading/streaming.py"},
    "pyarrow": {"formats/parquet.py", "formats/parquet_labels.py"},
    "h5py": {"weights/readers/hdf5.py"},
    "soundfile": {"audio/files.py"},
    "scipy": {"audio/resampling.py"},
    "huggingface_hub": {"weights/sources/hub.py"},
    "ftfy": {"texts/clip/__init__.py"},
    "regex": {"texts/clip/__init__.py"},
    "tensorboardX": {"runs/loop/writers.py"},
    "wandb": {"runs/loop/writers.py"},
    "matplotlib": {"analysis/figures.py"},
    "shtab": {"cli/arguments.py"},
    "rich": {"runs/loop/reporter.py"},
    "safetensors": {"weights/safetensors_file.py"},
}
SEE_CONFIG = {"config", "runs", "experiments", "cli"}
FILES = sorted(ROOT.rglob("*.py"))
IDS = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in FILES]


def room(file):
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(file):
    yield from imports_in(ast.parse(file.read_text()), file)


def imports_in(tree, file):
    for node in ast.walk(tree):
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


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_imports_follow_the_arrows(file):
    here = room(file)
    allowed = ALLOWED[longest(here, ALLOWED)] if here else ALLOWED[""]
    functions = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.FunctionDef)]
    lazy = [name for function in functions for name in imports_in(function, file)]
    names = list(imports(file))
    for name in (f"resnet_jax.{name}" for name in INSIDE_FUNCTIONS.get(here, ())):
        assert names.count(name) == lazy.count(name) > 0, f"{here} imports {name} before it draws"
        names = [other for other in names if other != name]
    for name in names:
        if name == "resnet_jax" or name.startswith("resnet_jax."):
            target = name.removeprefix("resnet_jax").removeprefix(".")
            assert any(target == a or target.startswith(f"{a}.") for a in allowed), f"{here} imports {name}"
        package = name.partition(".")[0]
        if package in ONE_FILE:
            assert file.relative_to(ROOT).as_posix() in ONE_FILE[package], f"{here} imports {package}"


def test_config_needs_the_standard_library_alone():
    for file in (
        *(ROOT / "config").glob("*.py"),
        *(ROOT / name for name in ("errors.py", "extras.py", "files.py", "moved.py", "old_names.py", "text.py")),
    ):
        outside = {name for name in imports(file) if not name.startswith("resnet_jax.")}
        assert {name.partition(".")[0] for name in outside} <= set(sys.stdlib_module_names)


def test_config_stops_at_runs_experiments_and_the_command_line():
    seeing = [file for file in FILES if any(name.startswith("resnet_jax.config") for name in imports(file))]
    assert {room(file).partition(".")[0] for file in seeing} == SEE_CONFIG


@pytest.mark.parametrize("file", FILES, ids=IDS)
def test_only_devices_knows_of_devices(file):
    if room(file) != "distributed.devices":
        for word in ("jax.pmap", "shard_map(", "Mesh("):
            assert word not in file.read_text(), word


def test_no_room_holds_a_fifth_of_the_lines():
    lines = {}
    for file in FILES:
        name = file.relative_to(ROOT).parts[0]
        lines[name] = lines.get(name, 0) + len(file.read_text().splitlines())
    largest = max(lines, key=lines.get)
    assert lines[largest] < sum(lines.values()) / 5, f"{largest}: {lines[largest]} of {sum(lines.values())} lines"
