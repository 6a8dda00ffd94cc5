import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_jax.runs.files.lock import locked

STOPPED_EARLY = """
import sys, time
from functools import partial
from pathlib import Path
from resnet_jax.distributed.signals import Signals
from resnet_jax.runs.files.lock import clear_lock, locked
with Signals() as signals, locked(Path(sys.argv[1])):
    signals.before_exit = partial(clear_lock, Path(sys.argv[1]))
    print("held", flush=True)
    time.sleep(60)
"""
HOLD = "import sys, time; from pathlib import Path; from resnet_jax.runs.files.lock import locked\n"
HOLD += "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"


def test_a_second_process_is_refused_and_the_lock_of_a_dead_one_is_taken(tmp_path):
    with locked(tmp_path) as previous:
        assert previous is None
        with pytest.raises(ValueError, match="is in use by process .* on .*, since .*; wait for it, or choose another"):
            with locked(tmp_path):
                pass
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match=f"is in use by process {holder.pid} on"):
        with locked(tmp_path):
            pass
    holder.kill()
    holder.wait()
    with locked(tmp_path) as previous:
        assert previous.startswith(f"process {holder.pid} on")
    with locked(tmp_path) as previous:
        assert previous is None


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_something_else_in_the_locks_place_is_named(tmp_path, make):
    make(tmp_path / "lock")
    with pytest.raises(ValueError, match="lock cannot be locked: .*; remove it, or choose another --workdir"):
        with locked(tmp_path):
            pass


def test_a_lock_file_may_contain_any_bytes(tmp_path):
    (tmp_path / "lock").write_bytes(bytes(range(256)))
    with locked(tmp_path) as previous:
        assert previous.isprintable()


def test_a_stop_before_the_first_step_is_no_unexpected_end(tmp_path):
    """Ctrl-C while the first step is compiled ends the process at once."""
    holder = subprocess.Popen([sys.executable, "-c", STOPPED_EARLY, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    holder.send_signal(signal.SIGINT)
    assert holder.wait(timeout=10) == 130
    with locked(tmp_path) as previous:
        assert previous is None
