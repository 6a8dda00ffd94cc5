"""Several processes that train one model: joining, sharing values and failing together."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from resnet_jax.errors import PeerFailed


@ctypes.CFUNCTYPE(None, ctypes.c_int)
def _on_abort(number: int) -> None:
    """Prints one line instead of a stack trace when JAX, in a thread, aborts a process that has lost others."""
    reason = b"stopped: JAX aborted this process, as it does when other processes of the job are lost or missing; "
    os.write(2, reason + b"start all of them again to resume from the last save\n")
    os._exit(1)


def start(
    *,
    auto: bool = False,
    method: str | None = None,
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    heartbeat_seconds: int = 100,
) -> None:
    """Joins the other processes, if any are configured, and initialises the devices.

    Args:
      auto: take coordinator, processes and process_id from the scheduler that JAX detects, or from `method`.

    Raises:
      ValueError: no scheduler, no other processes or no device was found.
    """
    if auto or coordinator is not None:
        _join(auto, method, coordinator, processes, process_id, heartbeat_seconds)
    devices()
    if jax.process_count() > 1:
        # Their next collective operation may start minutes apart, which is more than a first one waits.
        try:
            multihost_utils.sync_global_devices("start")
        except jax.errors.JaxRuntimeError as error:
            raise _not_found(error) from error


def devices() -> list[jax.Device]:
    """The devices of all processes.

    Raises:
      ValueError: JAX finds no device.
    """
    try:
        return jax.devices()
    except (RuntimeError, AssertionError) as error:
        platforms = os.environ.get("JAX_PLATFORMS") or "not set"
        reason = str(error).partition("\n")[0] or "its backend does not start"
        hint = "" if platforms == "not set" else "; JAX_PLATFORMS=cpu uses the processor"
        raise ValueError(f"JAX found no device (JAX_PLATFORMS is {platforms}): {reason}{hint}") from error


def _not_found(error: Exception) -> ValueError:
    return ValueError(f"the processes did not find each other: {str(error).partition(chr(10))[0]}")


def _join(
    auto: bool,
    method: str | None,
    coordinator: str | None,
    processes: int | None,
    process_id: int | None,
    heartbeat_seconds: int,
) -> None:
    libc = ctypes.CDLL(None)
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal(signal.SIGABRT, ctypes.cast(_on_abort, ctypes.c_void_p))
    if not auto:
        message = f"process {process_id}: waiting for all {processes} at {coordinator}, at most five minutes"
        print(message, file=sys.stderr, flush=True)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process_id,
            cluster_detection_method=method if auto else "deactivate",
            heartbeat_timeout_seconds=heartbeat_seconds,
            # A failing process waits for the others before it ends, while they wait for it in a collective.
            shutdown_timeout_seconds=heartbeat_seconds,
        )
    except ImportError as error:
        raise ValueError(f"--distributed.method {method}: {error}; pip install {error.name}") from error
    except KeyError as error:
        raise ValueError(f"--distributed.method {method}: the variable {error} of such a job is not set") from error
    except (ValueError, RuntimeError) as error:
        if "should be defined" in str(error) or "must be defined" in str(error):
            raise ValueError(
                "--distributed.auto: expected Slurm, Cloud TPU, GKE or Open MPI, found none; name the processes: "
                "--distributed.coordinator HOST:PORT --distributed.processes N --distributed.process-id I"
            ) from None
        raise _not_found(error) from error


def leave(status: int, message: str = "") -> None:
    """Prints why and ends this process, if it is one of several; does nothing if it is the only one.

    An orderly exit would wait for the others, which wait for this process in a collective: they notice its missing
    heartbeat.
    """
    if jax.distributed.is_initialized():
        if message:
            print(message, file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(status)


def is_first() -> bool:
    """Whether this process writes logs, metadata and pictures: the first or only one."""
    return jax.process_index() == 0


def broadcast_int(value: int) -> int:
    """The first process's value. Collective: every process must call it."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def broadcast(value: Any) -> Any:
    """The first process's value, which JSON can hold. Collective: every process must call it."""
    if jax.process_count() == 1:
        return value
    text = json.dumps(value).encode()
    buffer = np.zeros(broadcast_int(len(text)), np.uint8)
    if is_first():
        buffer[:] = np.frombuffer(text, np.uint8)
    return json.loads(np.asarray(multihost_utils.broadcast_one_to_all(buffer), np.uint8).tobytes())


def fail_together(error: Exception | None) -> None:
    """Waits for all processes, then raises `error`, or PeerFailed if another process has an error. Collective."""
    if jax.process_count() > 1:
        failed = np.flatnonzero(multihost_utils.process_allgather(np.array([error is not None])))
        if error is None and len(failed):
            raise PeerFailed(f"process {failed[0]} of {jax.process_count()} could not start; see its message")
    if error is not None:
        raise error
