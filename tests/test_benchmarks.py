"""Benchmarks run. Their numbers are for the machines that they are meant for."""

import importlib.util
import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SHARED = {"bound.py", "torch_nets.py", "torch_sequences.py", "turns.py"}  # modules of several scripts
SCRIPTS = sorted(
    name
    for file in (ROOT / "benchmarks").rglob("*.py")
    if (name := file.relative_to(ROOT / "benchmarks").as_posix()) not in SHARED
)
SMALLEST = {
    "activations.py": "cifar_resnet8 --image-size 8 --times 1",
    "batch_norm.py": "--shapes 1 --times 1",
    "conditional.py": "--shapes 1 --times 1",
    "conv_lowering.py": "--shapes 1 --depthwise 1 --times 1",
    "dense.py": "--nets retinanet_resnet50_fpn --phases inference --sides ours --image-size 64 --rounds 1 --steps 1",
    "families.py": "--families keyword --phases inference --prepare",
    "input.py": "--cases imagenet --images 2 --rounds 1",
    "compile.py": "starts nets --starts cifar_resnet8:8 --nets cifar_resnet8:2:8 --rounds 1",
    "loop.py": "--model cifar_resnet8 --batch-size 8 --steps 8 --steps-per-call 1 2 --rounds 1",
    "memory.py": "--nets cifar_resnet8:2:8 --sides none block --rounds 1",
    "max_pool_gradient.py": "--shapes 1 --times 1",
    "operations.py": "--nets cifar_resnet8:2:8 --sides ours --worker",
    "scaling.py": "--nets cifar_resnet8:2:8 --modes shard_map --devices 1 2 --rounds 1 --steps 1",
    "step.py": "--nets cifar_resnet8:2:8 tsc_resnet:2:16 --phases inference --sides ours --rounds 1 --steps 1",
    "weights.py": "--model resnet18 --formats safetensors --rounds 1",
}


@pytest.fixture(autouse=True)
def scripts_find_modules_beside_them(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def load(script):
    spec = importlib.util.spec_from_file_location(f"benchmark_{Path(script).stem}", ROOT / "benchmarks" / script)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_is_the_docstring_with_the_command_and_the_time_it_takes(script, capsys):
    module = load(script)
    with pytest.raises(SystemExit, match="0"):
        module.main(["--help"])
    output = capsys.readouterr().out
    assert f"python benchmarks/{script}" in output and "usage:" in output
    assert any(word in module.__doc__ for word in ("minute", "minutes")), "how long does it take?"


@pytest.mark.parametrize("script", ["skipping.py", "gradient_caching.py"])
def test_a_missing_run_is_one_line(script, tmp_path):
    with pytest.raises(SystemExit, match=r"^error: no run or checkpoint directory '.*nosuch'"):
        load(script).main([str(tmp_path / "nosuch")])


@pytest.mark.parametrize("script", ["torch_nets.py", "torch_sequences.py"])
def test_a_module_of_torch_names_the_scripts_that_use_it(script, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(SystemExit, match="^error: a module of other scripts; run benchmarks/"):
        runpy.run_path(str(ROOT / "benchmarks" / script), run_name="__main__")


@pytest.mark.slow
@pytest.mark.parametrize("script", SMALLEST)
def test_smallest_setting_runs(script, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    load(script).main(SMALLEST[script].split())
    assert capsys.readouterr().out


def test_gpu_checks_names_its_parts():
    done = subprocess.run(
        ["bash", ROOT / "benchmarks/gpu_checks.sh", "everything"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == "expected runs, deterministic or pool, got everything\n"


def test_gpu_prints_a_line_for_each_case():
    options = (
        "--nets cifar_resnet8:2:16 --dtypes float32 --phases inference --steps 1 --rounds 1 --matrix 512 --copy-mib 1"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    script = "import runpy, sys; sys.modules['torch'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    script = f"import sys; sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); {script}"
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT / "benchmarks/gpu.py"), *options.split()],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    reason, record = map(json.loads, done.stdout.splitlines())
    assert reason["reason"] == "torch or torchvision is not installed"
    assert record["side"] == "ours" and record["images_per_second"] > 0 and 0 < record["share"]
    assert record["tflops"] > 0 and record["gb_per_second"] > 0 and record["device"]


def test_the_bound_counts_the_kernels_of_the_net():
    """ResNet-50 at 224 px: three times the published 4.1 billion multiply-adds, but for the gradient of the images."""
    from bound import Device, kernels, least_seconds

    from resnet_jax import create_model

    listed = kernels(create_model("resnet50", dtype="bfloat16"), (2, 224, 224, 3))
    assert sum(kernel.flop for kernel in listed) / 2e9 == pytest.approx(24.3, abs=0.01)
    norms = [kernel for kernel in listed if kernel.kind == "norm" and kernel.is_forward]
    assert len(norms) == 53 and sum(kernel.bytes for kernel in norms) == 3 * 2 * 2 * 11_113_984
    slow, fast = Device(1e12, 1e15), Device(1e15, 1e15)
    assert least_seconds(listed, slow, "training") == pytest.approx(48.6e9 / 1e12, rel=0.02)
    assert least_seconds(listed, fast, "inference") < least_seconds(listed, fast, "training") / 3


def test_the_plan_for_pods_adds_a_step_and_an_all_reduce():
    scaling = load("scaling.py")
    pod = scaling.PODS["TPU v5e"]
    assert scaling.all_reduce_seconds(100e6, 16, pod) == pytest.approx(2 * 15 / 16 * 100e6 / 200e9 + 2 * 2 * 3 * 1e-6)
    assert scaling.all_reduce_seconds(100e6, 1, pod) == 0


def test_baselines_of_texts_learn_the_word_that_decides_and_predict_a_repeated_line(tmp_path, capsys):
    texts = load("texts.py")
    rows = [f"{'fine' if i % 2 else 'poor'} number {i},{i % 2}\n" for i in range(200)]
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(rows))
    texts.main(["tfidf", str(tmp_path / "a.csv"), "--features", "words", "--c", "1", "4"])
    counts, result = map(json.loads, capsys.readouterr().out.splitlines())
    assert counts["classes"] == 2 and counts["train"] + counts["test"] == 200
    assert result["test"] == 1.0 and set(result["held_out"]) == {"1.0", "4.0"}
    (tmp_path / "corpus.txt").write_text("the cat sat on the mat\n" * 50)
    texts.main(["ngram", str(tmp_path / "corpus.txt"), "--orders", "2", "5"])
    counts, result = map(json.loads, capsys.readouterr().out.splitlines())
    assert counts["characters"] == {"train": 40 * 23, "test": 10 * 23}
    assert result["order"] == 5 and result["test bits per character"] < 0.2


def test_the_probabilities_of_the_n_gram_model_are_a_distribution():
    texts = load("texts.py")
    ids = np.random.default_rng(0).integers(1, 5, 300)
    model = texts.KneserNey(ids, 3, 6)  # 0 and 5 are in no text
    for context in ([1, 2], [4, 4], [5, 0]):
        p = []
        for code in range(6):
            history = np.array([*context, code])
            whole, before = (2 ** (-model.bits(x) * (len(x) - 1)) for x in (history, history[:-1]))
            p.append(whole / before)
        assert sum(p) == pytest.approx(1)
        assert min(p) > 0


def write_run(folder, net, name, seed, top1, epoch=1500.0):
    """A run's files as far as the table of series reads them."""
    run = folder / net / name / str(seed)
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps({"config": {"train": {"epochs": 1500.0}}}))
    lines = [{"split": "train", "epoch": 1.0}, {"split": "test", "epoch": epoch, "top1": top1}]
    (run / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return run


def test_series_have_a_table_of_single_nets_and_ensembles(tmp_path, monkeypatch):
    series = load("series.py")
    for seed, top1 in enumerate((0.97, 0.98, 0.99, 1.0, 0.98)):
        write_run(tmp_path, "tsc_resnet", "GunPoint", seed, top1)
    write_run(tmp_path, "tsc_resnet", "GunPoint", 5, 0.1, epoch=700.0)  # not at its end
    write_run(tmp_path, "inception_time", "Coffee", 0, 0.5)
    monkeypatch.setattr(series, "ensemble_accuracy", lambda runs: len(runs) / 10)
    rows = series.table(tmp_path, series.NETS, list(series.SETS)).splitlines()[2:]
    assert rows == [
        "| tsc_resnet | GunPoint | 5 | 0.9840 ± 0.0114 | 0.5000 | 0.9910 ± 0.007 | - | yes |",
        "| inception_time | Coffee | 1 | 0.5000 ± - | - | - | 1.0000 | - |",
    ]
    write_run(tmp_path, "tsc_resnet", "Trace", 0, 0.5)
    assert series.row(tmp_path, "tsc_resnet", "Trace").endswith("| - |")  # a single run decides nothing


def test_a_mean_of_series_fails_below_the_published_one(tmp_path, monkeypatch):
    series = load("series.py")
    monkeypatch.setattr(series, "ensemble_accuracy", lambda runs: 1.0)
    for name, top1 in (("Coffee", 0.98), ("ArrowHead", 0.80)):  # the second deviates by less than twice 0.021
        for seed in range(5):
            write_run(tmp_path, "tsc_resnet", name, seed, top1)
    assert series.row(tmp_path, "tsc_resnet", "Coffee").endswith("| no |")
    assert series.row(tmp_path, "tsc_resnet", "ArrowHead").endswith("| yes |")


def test_finished_runs_of_series_are_not_repeated(tmp_path, monkeypatch, capsys):
    series, commands = load("series.py"), []
    monkeypatch.setattr(series.subprocess, "run", lambda command, **_: commands.append(command))
    write_run(tmp_path, "tsc_resnet", "GunPoint", 0, 1.0)
    options = "--nets tsc_resnet --sets GunPoint --seeds 0 1 --core 1 --options --train.epochs 3"
    series.main(["sets", str(tmp_path), *options.split()])
    (command,) = commands
    assert command[:3] == ["taskset", "-c", "1"] and command[-2:] == ["--train.epochs", "3"]
    assert command[command.index("--data.batch-size") + 1] == "5" and f"{tmp_path}/tsc_resnet/GunPoint/1" in command
    assert "| tsc_resnet | GunPoint | 1 |" in capsys.readouterr().out
    sizes = {name: series.batch_size("tsc_resnet", name) for name in series.SETS}
    assert sizes == dict(zip(series.SETS, (6, 5, 2, 3, 27, 10), strict=True))
    assert series.batch_size("inception_time", "Coffee") == 28 and series.batch_size("inception_time", "Trace") == 64


def test_pages_have_the_tables_of_the_results():
    report = load("report.py")
    for page in report.PAGES:
        assert report.with_tables(page.read_text()) == page.read_text(), "run python benchmarks/report.py"
    for name in report.TABLES:
        assert any(f"<!-- {name} -->\n" in page.read_text() for page in report.PAGES), name


def test_a_table_has_the_latest_record_of_each_case(tmp_path, monkeypatch):
    report = load("report.py")
    monkeypatch.setattr(report, "HERE", tmp_path)
    (tmp_path / "results").mkdir()
    case = {"net": "a", "phase": "training", "batch": 2, "size": 8, "ratio_range": [0.4, 2], "date": "2026-01-01"}
    lines = [case | {"ours_seconds": seconds, "ratio": seconds} for seconds in (1, 0.5)]
    (tmp_path / "results/step.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    table = report.render("step").splitlines()
    assert table[2] == "| `a` | 2 x 8 | training | - | 500.0 | - | - | 0.50 (0.40 to 2.00) |"
    assert len(table) == 5 and table[-1] == "Measured on: 2026-01-01."


def test_measured_families_are_not_measured_again(tmp_path, monkeypatch, capsys):
    families, out = load("families.py"), tmp_path / "families.jsonl"
    monkeypatch.setattr(
        families, "compare", lambda options, family, phase: {"family": family, "phase": phase, "ratio": 1.0}
    )
    monkeypatch.setattr(families, "require", lambda *_: None)  # torch, which these tests do not install
    options = ["--out", str(out), "--families", "tcn"]
    families.main([*options, "--phases", "training"])
    families.main([*options, "--prepare"])
    families.main(options)
    assert [json.loads(line)["phase"] for line in out.read_text().splitlines()] == ["training", "inference"]
    assert capsys.readouterr().out.count("tcn") == 4


def test_every_family_has_a_case():
    from resnet_jax.models.registry import get_spec, list_models

    cases = load("families.py").CASES
    families = {get_spec(name).family for name in list_models(input_kind="any")}
    assert families - {"contrastive"} == set(cases)  # its image towers are the family clip
    assert all(get_spec(case.net).family == family for family, case in cases.items())


def test_a_worker_that_prints_much_answers_and_one_that_fails_is_quoted():
    from turns import Worker

    script = "import sys; sys.stderr.write('x' * 200_000); print('{}', flush=True); input(); sys.exit('out of ideas')"
    worker = Worker([sys.executable, "-c", script])
    assert worker.about == {}
    with pytest.raises(RuntimeError, match="ended with code 1:\nx+out of ideas"):
        worker.ask()
    worker.close()


@pytest.mark.parametrize("script", ["step.py", "operations.py", "dense.py", "families.py", "memory.py"])
def test_a_missing_torch_is_one_line_before_anything_is_timed(script, tmp_path):
    without = tmp_path / "python"
    without.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')  # the standard library alone
    without.chmod(0o755)
    with pytest.raises(SystemExit, match="lacks torch"):
        load(script).main(["--torch-python", str(without)])
    with pytest.raises(SystemExit, match="No such file"):
        load(script).main(["--torch-python", str(tmp_path / "nowhere")])


def test_lines_of_another_size_are_cases_of_their_own(tmp_path, monkeypatch):
    report = load("report.py")
    line = {"net": "resnet50", "batch": 16, "size": 128, "phase": "training", "machine": "A"}
    (tmp_path / "results").mkdir()
    lines = [line, line | {"batch": 1}, line | {"size": 64}, line | {"ratio": 0.5}]
    (tmp_path / "results" / "step.jsonl").write_text("\n".join(map(json.dumps, lines)))
    monkeypatch.setattr(report, "HERE", tmp_path)
    assert report.records("step") == [lines[3], *lines[1:3]]


@pytest.mark.parametrize("text", ["resnt50", "resnet50:0", "resnet50:16:x", "resnet50:1:2:3"])
@pytest.mark.parametrize(
    "script", ["step.py --nets", "memory.py --nets", "weights.py --model", "compile.py nets --nets"]
)
def test_a_net_that_there_is_not_is_one_line(script, text, capsys):
    name, *arguments = script.split()
    with pytest.raises(SystemExit, match="2"):
        load(name).main([*arguments, text])
    assert "did you mean resnet50" in (error := capsys.readouterr().err) or "expected NAME:BATCH:SIZE" in error
