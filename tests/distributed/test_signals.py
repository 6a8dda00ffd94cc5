import signal
import subprocess
import sys
import time

import pytest

from resnet_jax.distributed.signals import SAME_SECONDS

LISTEN = """
import sys, time
from resnet_jax.distributed.signals import Signals
with Signals() as signals:
    signals.has_progress = sys.argv[1] == "yes"
    print("ready", flush=True)
    while not signals.stop_requested():
        if signals.save_requested():
            print("save", flush=True)
        time.sleep(0.01)
    print("noted", signals.number, signals.preempted(7), flush=True)
    time.sleep(60)
"""


def listener(at_stake, *before):
    """A process that receives SIGHUP, even if these tests run under nohup."""
    command = ["env", "--default-signal=HUP", *before, sys.executable, "-c", LISTEN, at_stake]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_the_first_signal_is_recorded_and_the_second_ends_at_once(number, status):
    process = listener("yes")
    for saving in (signal.SIGUSR1, signal.SIGUSR2):
        process.send_signal(saving)
        assert process.stdout.readline() == "save\n"
    process.send_signal(number)
    expected = (
        f"noted {number:d} stopped by {number.name} at step 7, which is saved; the same command resumes from there"
    )
    assert process.stdout.readline().strip() == expected
    time.sleep(SAME_SECONDS)
    process.send_signal(number)
    assert process.wait(timeout=10) == status
    message = process.stderr.read()
    assert f"{number.name}: saving after this step; send it again to stop at once" in message
    assert f"stopped by {number.name} at once" in message


def test_a_signal_that_is_sent_twice_in_a_row_counts_once_and_the_third_ends_at_once():
    process = listener("yes")
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.01)  # the kernel merges equal signals that are pending
    assert process.stdout.readline().startswith("noted")
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=0.3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 143
    lines = process.stderr.read().splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        "SIGTERM: saving after this step",
        "stopped by SIGTERM at once",
    ]


def test_another_ending_signal_ends_at_once():
    process = listener("yes")
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline().startswith("noted")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) == 130


def test_the_signals_of_a_session_that_ends_are_one():
    process = listener("yes")
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline().startswith("noted 15")
    for _ in range(2):
        process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=SAME_SECONDS)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=10) == 129


def test_without_progress_the_first_signal_ends_at_once():
    process = listener("no")
    process.send_signal(signal.SIGUSR1)
    assert process.stderr.readline() == "SIGUSR1: there is no step to save yet\n"
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 143 and time.monotonic() - began < 5


def test_nohup_ignores_a_hangup():
    process = listener("no", "env", "--ignore-signal=HUP")
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=10) == 143
    assert process.stderr.read().startswith("stopped by SIGTERM at once")


def test_handlers_are_restored():
    from resnet_jax.distributed.signals import SIGNALS, Signals

    before = [signal.getsignal(number) for number in SIGNALS]
    with Signals() as signals:
        assert [signal.getsignal(number) for number in SIGNALS] != before
        assert not signals.stop_requested()
    assert [signal.getsignal(number) for number in SIGNALS] == before
