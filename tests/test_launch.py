"""The launch scripts, as far as they can be run without a cluster."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml  # comes with flax

from resnet_jax.cli.train import parse
from resnet_jax.config import check_config

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / "docs" / "launch"
OPTIONS = ["--config", str(ROOT / "configs/imagenet_resnet50.py"), "--workdir", "/shared/my runs/r50"]


def stand_ins(folder, **scripts):
    """An environment in which these scripts hide the commands of their names."""
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/bash\n{script}\n")
        (folder / name).chmod(0o755)
    return os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "77", "SLURM_CPUS_PER_TASK": "12"}


def config_of(words):
    """Checked config that train.py gets from the command in `words`."""
    start = words.index("train.py")
    assert words[start - 1] == ".venv/bin/python" and (ROOT / "train.py").is_file()
    config = parse(words[start + 1 :])
    check_config(config)
    assert config.model.name == "resnet50" and config.model.bn_axis == "data"
    return config


@pytest.mark.parametrize(("status", "requeued"), [(143, True), (0, False), (1, False)])
def test_slurm(tmp_path, status, requeued):
    environment = stand_ins(
        tmp_path,
        srun=f"printf '%q ' \"$@\" > {tmp_path}/srun.arguments; exit {status}",
        scontrol=f'echo "$@" > {tmp_path}/scontrol.arguments',
    )
    done = subprocess.run(["bash", LAUNCH / "slurm.sh", *OPTIONS], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, "")
    words = shlex.split((tmp_path / "srun.arguments").read_text())
    assert "--gpu-bind=none" in words and "--cpus-per-task=12" in words
    config = config_of(words)
    assert config.distributed.auto and config.workdir == "/shared/my runs/r50"
    request = tmp_path / "scontrol.arguments"
    assert request.exists() == requeued and (not requeued or request.read_text() == "requeue 77\n")


def test_tpu_pod(tmp_path):
    environment = stand_ins(tmp_path, gcloud=f"printf '%s\\n' \"$@\" > {tmp_path}/gcloud.arguments")
    line = ["bash", LAUNCH / "tpu_pod.sh"]
    done = subprocess.run([*line, "pod", "zone", *OPTIONS], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    *before, command = (tmp_path / "gcloud.arguments").read_text().splitlines()
    assert before == ["compute", "tpus", "tpu-vm", "ssh", "pod", "--zone=zone", "--worker=all"]
    config = config_of(shlex.split(command.removeprefix("--command=")))
    assert config.distributed.auto and config.workdir == "/shared/my runs/r50"
    assert subprocess.run([*line, "pod"], capture_output=True).returncode == 2


@pytest.mark.parametrize("name", ["gke_gpu.yaml", "gke_tpu.yaml"])
def test_gke(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    service, job = yaml.safe_load_all((LAUNCH / name).read_text())
    assert (service["kind"], job["kind"]) == ("Service", "Job")
    pod = job["spec"]["template"]["spec"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert pod["subdomain"] == service["metadata"]["name"]
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"] == 4
    (container,) = pod["containers"]
    assert container["command"] == ["bash", "-c"]
    (line,) = container["args"]
    config = config_of(shlex.split(line.replace("$JOB_COMPLETION_INDEX", "3"))[1:])
    if not config.distributed.auto:
        assert config.distributed.coordinator == f"{job['metadata']['name']}-0.{pod['subdomain']}:55527"
        assert (config.distributed.processes, config.distributed.process_id) == (4, 3)
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
