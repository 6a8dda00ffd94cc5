"""Signals that make a run save. SIGTERM (from a scheduler), SIGHUP (from a closed terminal) and Ctrl-C then end it;
after SIGUSR1 and SIGUSR2 it continues.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

import jax
from jax.experimental import multihost_utils

from resnet_jax.errors import Preempted

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SAVING = (signal.SIGUSR1, signal.SIGUSR2)
SIGNALS = (*ENDING, *SAVING)
SAME_SECONDS = 1.0  # `timeout` signals the process, then its group within milliseconds: one signal to a person
LIBC: Any = ctypes.CDLL(None)
LIBC.signal.restype = ctypes.c_void_p
LIBC.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)


class Signals:
    """Context manager that records signals: `stop_requested` and `save_requested` report them.

    A second ending signal ends the process at once, unless it repeats the first one within `SAME_SECONDS`: then the
    third one does. SIGTERM and SIGHUP within that time are one signal: systemd sends both when a session ends, and its
    shell SIGHUP again. The first signal ends the process while `has_progress` is False, before the first step:
    `before_exit` is called first. An ignored SIGHUP stays ignored, as under nohup.

    Python runs its handlers between two bytecodes of the main thread, which may compile for minutes, so a thread
    listens. Outside the main thread no handlers can be set, and signals keep theirs.
    """

    def __init__(self) -> None:
        self.number = 0  # of the ending signal; 0: none
        self.has_progress = False  # whether steps were made that can be saved
        self.before_exit: Callable[[], None] = lambda: None
        self._save_requested = False
        self._repeat_until = 0.0  # until then the ending signal, once repeated, counts as one
        self._queries = 0
        self._restore: list[Any] = []
        self._notify_jax: Any = None

    def __enter__(self) -> Signals:
        if threading.current_thread() is not threading.main_thread():
            return self
        if jax.process_count() > 1:
            # JAX's handler, which notifies the other processes. It was set from C++, and ours calls it.
            address = LIBC.signal(signal.SIGTERM, None)
            LIBC.signal(signal.SIGTERM, address)
            self._notify_jax = HANDLER(address) if address else None
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

    def stop_requested(self) -> bool:
        """Whether to save and stop. Several processes call it equally often and get the same answer at each call."""
        self._queries += 1
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(self._queries)
        return bool(self.number)

    def save_requested(self) -> bool:
        """Whether SIGUSR1 or SIGUSR2 has come to this process since the last call."""
        requested, self._save_requested = self._save_requested, False
        return requested

    def preempted(self, step: int) -> Preempted:
        name = signal.Signals(self.number).name if self.number else "a signal to another process"
        message = f"stopped by {name} at step {step}, which is saved; the same command resumes from there"
        return Preempted(message, self.number or signal.SIGTERM)

    def _listen(self, read: int) -> None:
        with os.fdopen(read, "rb", buffering=0) as pipe:
            while byte := pipe.read(1):
                if byte[0] in SIGNALS:
                    self._handle(byte[0])

    def _handle(self, number: int) -> None:
        name = signal.Signals(number).name
        if number in SAVING:
            self._save_requested = self.has_progress
            _print(f"{name}: {'saving' if self.has_progress else 'there is no step to save yet'}")
            return
        if time.monotonic() < self._repeat_until and {number, self.number} == {signal.SIGTERM, signal.SIGHUP}:
            return
        if number == self.number and time.monotonic() < self._repeat_until:
            self._repeat_until = 0.0
            return
        if self.number or not self.has_progress:
            if not self.has_progress:
                self.before_exit()
            _print(f"stopped by {name} at once; the same command resumes from the last save, if any", last=True)
            os._exit(128 + number)
        self._repeat_until = time.monotonic() + SAME_SECONDS
        self.number = number
        _print(f"{name}: saving after this step; send it again to stop at once")
        if self._notify_jax is not None:
            self._notify_jax(signal.SIGTERM)


def _print(line: str, *, last: bool = False) -> None:
    """Writes to stderr past Python, whose main thread may be busy, over a progress bar, which is printed again."""
    clear = "\r\x1b[K" if os.isatty(2) and os.environ.get("TERM", "dumb") != "dumb" else ""
    cursor = "\x1b[?25h" if clear and last else ""  # the progress bar has hidden it
    with suppress(OSError):  # the terminal is closed
        os.write(2, f"{clear}{line}\n{cursor}".encode())
