"""The program starts again with large pages, once, and only if Python runs nothing else."""

import os
import subprocess
import sys

import pytest

from resnet_jax.cli import huge_pages

FAKE = """
import sys
from pathlib import Path
from resnet_jax.cli import huge_pages
huge_pages.memory_has_huge_pages = lambda: True
def use():
    huge_pages.use_huge_pages()
    import os
    print(os.environ.get(huge_pages.VARIABLE), sys.argv[1:])
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "fake.py").write_text(FAKE)
    (tmp_path / "job.py").write_text("from fake import use\nuse()\n")
    (tmp_path / "tool").mkdir()
    (tmp_path / "tool/__main__.py").write_text("from fake import use\nuse()\n")

    def output(*command, stdin="", files=(), **environment):
        for name in files:
            (tmp_path / name).write_text(files[name])
        base = {name: value for name, value in os.environ.items() if name != huge_pages.VARIABLE}
        base["PYTHONPATH"] = os.pathsep.join([str(tmp_path), *sys.path])
        command = [sys.executable, *command]
        options = {"cwd": tmp_path, "env": base | environment, "input": stdin}
        done = subprocess.run(command, **options, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return output


@pytest.mark.parametrize("start", [["job.py"], ["-u", "./job.py"], ["-m", "tool"]], ids=" ".join)
def test_a_program_starts_again_with_the_same_arguments(run, start):
    assert run(*start, "--a", "b c") == "glibc.malloc.hugetlb=1 ['--a', 'b c']\n"


@pytest.mark.parametrize("value", ["", "glibc.malloc.hugetlb=0"])
def test_a_setting_of_the_user_counts(run, value):
    assert run("job.py", GLIBC_TUNABLES=value) == f"{value} []\n"


@pytest.mark.parametrize(
    "code",
    [
        "import runpy; runpy.run_path('job.py', run_name='__main__')",
        "import sys, runpy; sys.argv = ['job.py']; runpy.run_path('job.py', run_name='__main__')",
        "import runpy, sys; sys.argv = a = ['job.py']; sys.orig_argv[1:] = ['-m', 'pdb', *a]; runpy.run_path('job.py')",
        "import threading, time; threading.Thread(target=time.sleep, args=(1,)).start(); from fake import use; use()",
    ],
    ids=["other program", "notebook", "debugger", "threads"],
)
def test_another_program_is_not_started_again(run, code):
    assert run("-c", code).startswith("None ")


def test_only_kernels_that_are_asked_for_large_pages_give_them(tmp_path, monkeypatch):
    monkeypatch.setattr(huge_pages.os, "confstr", lambda name: "glibc 2.36", raising=False)
    monkeypatch.setattr(huge_pages, "KERNEL", tmp_path / "enabled")
    assert not huge_pages.memory_has_huge_pages()  # no such file
    for text, expected in (("always [madvise] never", True), ("[always] madvise never", False)):
        huge_pages.KERNEL.write_text(text)
        assert huge_pages.memory_has_huge_pages() is expected
    huge_pages.KERNEL.write_text("always [madvise] never")
    for version, expected in (("glibc 2.34", False), ("glibc 2.35", True), ("musl 1.2", False), (None, False)):
        monkeypatch.setattr(huge_pages.os, "confstr", lambda name, version=version: version, raising=False)
        assert huge_pages.memory_has_huge_pages() is expected


def test_a_program_whose_setting_is_lost_starts_again_once(run):
    """A wrapper of Python may clear the environment; since 2.39 the C library does so for programs with privileges."""
    lose = "lambda *command, execve=os.execve: execve(*command[:2], os.environ)"
    code = f"import os\nfrom fake import use\nos.execve = {lose}\nuse()\n"
    assert run("lost.py", "--a", files={"lost.py": code}) == "None ['--a']\n"


def test_a_program_that_cannot_start_again_runs_without(run):
    code = "import sys\nfrom fake import use\nsys.executable = '/nowhere/python'\nuse()\n"
    assert run("moved.py", files={"moved.py": code}) == "None []\n"


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_a_script_from_a_pipe_is_read_once(run, name):
    assert run(name, "--a", stdin="from fake import use\nuse()\n") == "None ['--a']\n"


def test_output_may_be_closed(run):
    code = "import sys\nfrom fake import use\nsys.stdout = None\nuse()\n"
    assert run("-u", "closed.py", files={"closed.py": code}) == ""
