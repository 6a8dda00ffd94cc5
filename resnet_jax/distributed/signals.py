"""Signals that ask a run to save: SIGTERM, as schedulers send it before they take a machine away, SIGHUP, as a terminal
sends it when it closes, and Ctrl-C end it; SIGUSR1 and SIGUSR2 do not.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any

import jax
from jax.experimental import multihost_utils

from resnet_jax.errors import Preempted

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SAVING = (signal.SIGUSR1, signal.SIGUSR2)
SIGNALS = (*ENDING, *SAVING)
LIBC: Any = ctypes.CDLL(None)
LIBC.signal.restype = ctypes.c_void_p
LIBC.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)


class Signals:
    """with Signals() as signals: the first signal is noted, for `reached`; a second one ends the process at once.

    So does a first one while there is nothing to lose (`at_stake` is False): before the first step. SIGUSR1 and SIGUSR2
    are noted for `save_asked`. SIGHUP stays ignored where it is, as under nohup.

    Python's own handlers run between two bytecodes of the main thread, which may compile for minutes; so a thread
    listens. Outside the main thread signals cannot be had, and are left as they are.
    """

    def __init__(self) -> None:
        self.number = 0
        self.at_stake = False
        self._save_asked = False
        self._asked = 0
        self._restore: list[Any] = []
        self._tell_jax: Any = None

    def __enter__(self) -> Signals:
        if threading.current_thread() is not threading.main_thread():
            return self
        if jax.process_count() > 1:
            # JAX's own handler, which tells the other processes; it is not Python's, and is called by ours.
            address = LIBC.signal(signal.SIGTERM, None)
            LIBC.signal(signal.SIGTERM, address)
            self._tell_jax = HANDLER(address) if address else None
        read, write = os.pipe()
        os.set_blocking(write, False)
        threading.Thread(target=self._listen, args=(read,), name="signals", daemon=True).start()
        self._restore += [(signal.set_wakeup_fd, (signal.set_wakeup_fd(write),)), (os.close, (write,))]
        for number in SIGNALS:
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            before = signal.signal(number, lambda *_: None)
            self._restore.append((signal.signal, (number, before or signal.SIG_DFL)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for undo, arguments in self._restore:
            undo(*arguments)

    def reached(self) -> bool:
        """Whether to save and leave. Several processes ask equally often, and are told so at the same asking."""
        self._asked += 1
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(self._asked)
        return bool(self.number)

    def save_asked(self) -> bool:
        """Whether this process was asked to save and to go on, since it was last asked here."""
        asked, self._save_asked = self._save_asked, False
        return asked

    def preempted(self, step: int) -> Preempted:
        name = signal.Signals(self.number).name if self.number else "a signal to another process"
        said = f"stopped by {name} at step {step}, which is saved; the same command resumes from there"
        return Preempted(said, self.number or signal.SIGTERM)

    def _listen(self, read: int) -> None:
        with os.fdopen(read, "rb", buffering=0) as pipe:
            while got := pipe.read(1):
                number = got[0]
                if number not in SIGNALS:
                    continue
                name = signal.Signals(number).name
                if number in SAVING:
                    self._save_asked = self.at_stake
                    _print(f"{name}: {'saving' if self.at_stake else 'no step is made yet that could be saved'}")
                    continue
                if self.number or not self.at_stake:
                    _print(f"stopped by {name} at once; the same command resumes from the last save, if any", last=True)
                    os._exit(128 + number)
                self.number = number
                _print(f"{name}: ending the step and saving; once more to leave at once")
                if self._tell_jax is not None:
                    self._tell_jax(signal.SIGTERM)


def _print(line: str, *, last: bool = False) -> None:
    """Writes to stderr past Python, whose main thread may be busy; over a progress bar, which draws itself anew."""
    clear = "\r\x1b[K" if os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb" else ""
    cursor = "\x1b[?25h" if clear and last else ""  # which the bar has hidden
    with suppress(OSError):  # the terminal is gone
        os.write(2, f"{clear}{line}\n{cursor}".encode())
