"""README and the pages in docs/ are true: their code runs, their commands parse, their tables and links are current."""

import importlib
import importlib.util
import json
import re
import shlex
import subprocess
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from PIL import Image
from torch_file import write_torch_file

from resnet_jax import Preprocess, TrainState, create_model, list_models, save_checkpoint, save_torch_state
from resnet_jax.cli.commands import make_request
from resnet_jax.cli.train import parse
from resnet_jax.config import Config, flat, to_dict
from resnet_jax.runs.files.config_changes import FREE
from resnet_jax.tasks import TASKS, Contrastive
from resnet_jax.weights.wrappers import read_state

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXTS = {page.relative_to(ROOT).as_posix(): page.read_text() for page in PAGES}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = {
    (name, kind): [code for language, code in FENCE.findall(text) if language == kind]
    for name, text in TEXTS.items()
    for kind in ("", "python")
}
WITH_PYTHON = [name for name, kind in BLOCKS if kind == "python" and BLOCKS[name, kind]]
WITH_COMMANDS = [name for name, kind in BLOCKS if kind == "" and BLOCKS[name, kind]]
SLOW = {"README.md", "docs/backbones.md", "docs/contributing.md", "docs/weights.md"}  # more than ten seconds of code
WITH_WEIGHTS = {"README.md", "docs/weights.md"}  # pages whose code reads a file of weights
RUNS = "digits_resnet20 digits_skipnet38 faster mine other a b c words reviews book waves captions_clip".split()


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """Writes the files that the pages' code reads: photos, a folder of classes, a run directory."""
    root, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    for name in ("circle", "square", "triangle"):
        (root / "pictures" / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 256, (70 + number, 80, 3), np.uint8)
            Image.fromarray(pixels).save(root / "pictures" / name / f"{number}.png")
    Image.fromarray(pixels).save(root / "photo.jpg")
    Image.fromarray(pixels[:8, :8, 0]).save(root / "digit.png")

    overrides = {"num_classes": 10, "in_channels": 1}
    model = create_model("cifar_resnet8", **overrides)
    state = TrainState.create(model, optax.sgd(0.1), jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))
    preprocess = Preprocess(8, 8, (0.3,), (0.4,))
    digits, names = root / "runs" / "digits_resnet20", tuple("0123456789")
    save_checkpoint(digits, state, "cifar_resnet8", overrides=overrides, preprocess=preprocess, classes=names)

    towers = {"image_tower": "cifar_resnet8", "embed_dim": 8, "text_width": 8, "text_heads": 1, "text_layers": 1}
    overrides = {**towers, "context_length": 16, "vocabulary_size": 6}
    model, key = create_model("clip_resnet50", **overrides), jax.random.key(0)
    state = TrainState.create(model, optax.sgd(0.1), key, np.zeros((1, 28, 28, 3), np.float32))
    preprocess, words = Preprocess(28, 28, (0.2,) * 3, (0.2,) * 3), ("<pad>", "<unk>", "a", "three")
    options = {"overrides": overrides, "preprocess": preprocess, "classes": words, "task": Contrastive()}
    save_checkpoint(root / "runs" / "captions_clip", state, "clip_resnet50", **options)
    return root


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Weights of a ResNet-18: PyTorch's file, safetensors, and timm's folder, which is read instead of a download."""
    root = tmp_path_factory.mktemp("weights")
    model = create_model("resnet18")
    variables = jax.jit(lambda key: model.init(key, np.zeros((1, 32, 32, 3), np.float32), train=False))(
        jax.random.key(0)
    )
    save_torch_state(variables, "resnet18", root / "weights.safetensors")
    write_torch_file(root / "resnet18-f37072fd.pth", read_state(root / "weights.safetensors"))
    timm = root / "timm" / "resnet18.a1_in1k"
    timm.mkdir(parents=True)
    (timm / "model.safetensors").hardlink_to(root / "weights.safetensors")
    (timm / "config.json").write_text('{"architecture": "resnet18", "pretrained_cfg": {"tag": "a1_in1k"}}')
    return root


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in WITH_PYTHON]
)
def test_python_blocks_run_in_the_order_of_the_page(name, files, request, tmp_path, monkeypatch):
    folders = [files] if name not in WITH_WEIGHTS else [files, request.getfixturevalue("weights")]
    for file in (file for folder in folders for file in folder.iterdir()):
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("resnet_jax.weights.published.sha256", lambda path: "f37072fd")  # the weights are random
    namespace = {"__name__": "page"}
    for number, code in enumerate(BLOCKS[name, "python"], start=1):
        exec(compile(code, f"{name}, block {number}", "exec"), namespace)


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_commands_parse(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for run in RUNS:
        (tmp_path / "runs" / run).mkdir(parents=True)
        (tmp_path / "runs" / run / "config.json").write_text(json.dumps({"config": to_dict(Config())}))
    for block in BLOCKS[name, ""]:
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert not re.search(r'"[^"\n]*![^"\n]*"', block), f"{block}: an interactive bash expands ! in double quotes"
        for words in commands(block):
            check_command(words)


def commands(block):
    """The words of each simple command in a block of shell."""
    words = []
    for line in block.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split, lexer.commenters = True, "#"
        for token in [*lexer, ";"]:
            if set(token) <= set(";&|><"):
                if words:
                    yield words
                words = []
            else:
                words.append(token)


def check_command(words):
    """Parses what is a command of this package; other programs are left alone."""
    words = [word.replace("$i", "0") for word in words]
    program = next((word for word in words if re.fullmatch(r"(.*/)?train.py|resnet-jax", word)), None)
    if program is None:
        scripts = [word for word in words if word.endswith(".py")]
        assert all((ROOT / script).is_file() for script in scripts), words
        return
    arguments = words[words.index(program) + 1 :]
    if program.endswith("train.py"):
        arguments = ["train", *arguments]
    command, *options = arguments
    if command.startswith("-") or {"--help", "--help-all"} & {*options}:
        return
    parse(options) if command == "train" else make_request(command, options)


def test_options_in_the_text_exist():
    known = {f"--{name.replace('_', '-').replace('.from-', '.from')}" for name in flat(to_dict(Config()))}
    known |= {re.sub(r"\.(?=[^.]*$)", ".no-", name) for name in known}
    groups = {name.split(".")[0] for name in known if "." in name}
    for name, text in TEXTS.items():
        for option in re.findall(r"--[a-z]+(?:\.[a-z0-9-]+)+", text):
            if option.split(".")[0] in groups:
                assert option in known, f"{name}: {option}"


def test_the_page_of_training_lists_the_fields_that_may_change_and_the_measures_of_every_task():
    text = (ROOT / "docs" / "training.md").read_text()
    start = text.index("These fields may change")
    named = set(re.findall(r"`([\w.*]+)`", text[start : text.index("A run whose images", start)]))
    assert named == {name if "." in name or name == "workdir" else f"{name}.*" for name in FREE}
    for name, task in TASKS.items():
        assert f"| `{name}` | {', '.join(f'`{measure}`' for measure in task.measures)} |" in text


def test_readme_has_the_two_commands_and_fits():
    text = TEXTS["README.md"]
    assert len(text.splitlines()) <= 180
    job = "python3 -m venv .venv && .venv/bin/pip install '.[train]' && .venv/bin/python train.py\n"
    assert BLOCKS["README.md", ""][0] == job
    tests = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest -m 'not slow'\n"
    assert text.split("<!-- tests -->\n```\n")[1].startswith(tests)


def test_every_config_is_listed():
    names = {file.stem for file in (ROOT / "configs").glob("*.py")}
    assert names <= set(re.findall(r"`(\w+)`", TEXTS["docs/training.md"]))


@pytest.mark.parametrize("name", TEXTS)
def test_links_and_pictures_are_there(name):
    folder = (ROOT / name).parent
    for target in re.findall(r"\]\(([^)#\s]*)#?[^)]*\)", TEXTS[name]):
        assert not target or target.startswith("http") or (folder / target).exists(), target


@pytest.mark.parametrize("name", TEXTS)
def test_files_in_the_text_are_there(name):
    for path in re.findall(r"\b(?:tests|benchmarks|examples|docs|configs)/[\w/]+\.(?:py|sh|md)\b", TEXTS[name]):
        assert (ROOT / path).is_file(), path


def test_the_page_of_promises_says_where_the_tests_of_a_row_run():
    rows = re.findall(r"^\| (.+) \| (`tests/.+`) \| ([\w, ]+) \|$", TEXTS["docs/promises.md"], re.MULTILINE)
    assert len(rows) >= 40
    for promise, files, where in rows:
        tests = [(ROOT / file).read_text() for file in re.findall(r"`([^`]+)`", files)]
        for mark in ("slow", "parity"):
            assert (mark in where.split(", ")) == any(f"mark.{mark}" in text for text in tests), promise


def tables():
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_list_every_net_with_its_parameters():
    rows = dict(re.findall(r"^\| `(\w+)` \| ([\d,]+) \|", TEXTS["docs/networks.md"], re.MULTILINE))
    assert sorted(rows) == sorted(list_models(input_kind="any")), "run python docs/tables.py"
    assert list(rows) == [name for group in tables().groups().values() for name in group]
    counts = json.loads((ROOT / "tests" / "golden" / "counts.json").read_text())
    for name, golden in counts.items():
        assert rows[name] == f"{golden['parameters']:,}", name


@pytest.mark.slow
def test_tables_are_current():
    current, file = tables(), ROOT / "resnet_jax" / "cli" / "counts.json"
    assert current.page(TEXTS["docs/networks.md"]) == TEXTS["docs/networks.md"], "run python docs/tables.py"
    assert current.counts() == file.read_text(), "run python docs/tables.py"


def test_reference_pages_name_what_exists():
    for text in TEXTS.values():
        for name in re.findall(r"^::: ([\w.]+)$", text, re.MULTILINE):
            module, _, attribute = name.rpartition(".")
            if importlib.util.find_spec(module) and hasattr(importlib.import_module(module), attribute):
                continue
            assert importlib.util.find_spec(name), name


def test_every_public_name_is_in_the_reference():
    import resnet_jax

    documented = re.findall(r"^::: resnet_jax\.(\w+)$", TEXTS["docs/api/index.md"], re.MULTILINE)
    assert sorted(documented) == sorted(resnet_jax.__all__)
