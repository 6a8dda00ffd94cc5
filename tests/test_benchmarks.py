"""Benchmarks run. Their numbers are for the machines that they are meant for."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_gpu_checks_names_its_parts():
    done = subprocess.run(
        ["bash", ROOT / "benchmarks/gpu_checks.sh", "everything"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == "expected runs, deterministic, pool, modes or steps, got everything\n"


def test_gpu_steps_prints_a_line_for_each_case():
    options = "--nets cifar_resnet8 --dtypes float32 --phases inference --batch-size 2 --image-size 16 --steps 1"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    script = "import runpy, sys; sys.modules['torch'] = None; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", script, str(ROOT / "benchmarks/gpu_steps.py"), *options.split()],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    reason, line = done.stdout.splitlines()
    assert reason == "only ours: torch or torchvision is not installed"
    record = json.loads(line)
    assert record["implementation"] == "ours, NHWC" and record["images_per_second"] > 0
    assert record["torch"] is None and record["device"]
