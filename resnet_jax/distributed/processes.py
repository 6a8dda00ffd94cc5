"""Several processes that train one net: how they find each other, and agree."""

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
def _aborted(number: int) -> None:
    """JAX aborts a process that has lost others, from a thread of its own; a stack trace would be the last word."""
    said = b"stopped: JAX has aborted this process, as it does when others of the job are lost or do not come; "
    os.write(2, said + b"start all again to go on from the last save\n")
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
    """Finds the devices; before, joins the other processes, if there are to be any.

    Args:
      auto: coordinator, processes and process_id are those of the scheduler that JAX finds, or of `method`.

    Raises:
      ValueError: no scheduler is found, or the others are not; or no device.
    """
    if auto or coordinator is not None:
        _join(auto, method, coordinator, processes, process_id, heartbeat_seconds)
    devices()
    if jax.process_count() > 1:
        # Now, for they may come to their next common operation minutes apart: more than a first one waits for.
        try:
            multihost_utils.sync_global_devices("start")
        except jax.errors.JaxRuntimeError as error:
            raise _not_found(error) from error


def devices() -> list[jax.Device]:
    """Of all processes.

    Raises:
      ValueError: JAX finds none.
    """
    try:
        return jax.devices()
    except (RuntimeError, AssertionError) as error:
        platforms = os.environ.get("JAX_PLATFORMS") or "not set"
        reason = str(error).partition("\n")[0] or "its backend does not start"
        hint = "" if platforms == "not set" else "; JAX_PLATFORMS=cpu uses the processor"
        raise ValueError(f"JAX has no device to use (JAX_PLATFORMS is {platforms}): {reason}{hint}") from error


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
    libc.signal(signal.SIGABRT, ctypes.cast(_aborted, ctypes.c_void_p))
    if not auto:
        said = f"process {process_id}: waiting for all {processes} at {coordinator}, for five minutes at most"
        print(said, file=sys.stderr, flush=True)
    try:
        jax.distributed.initialize(
            coordinator,
            processes,
            process_id,
            cluster_detection_method=method if auto else "deactivate",
            heartbeat_timeout_seconds=heartbeat_seconds,
            # One that fails waits for the others as it leaves; they wait for it in a collective.
            shutdown_timeout_seconds=heartbeat_seconds,
        )
    except ImportError as error:
        raise ValueError(f"distributed.method {method}: {error}; pip install {error.name}") from error
    except KeyError as error:
        raise ValueError(f"distributed.method {method}: this is no such job, {error} is not set") from error
    except (ValueError, RuntimeError) as error:
        if "should be defined" in str(error) or "must be defined" in str(error):
            known = "Slurm, Cloud TPU, GKE and Open MPI"
            raise ValueError(
                f"distributed.auto: no scheduler found that JAX knows ({known}); wanted: "
                "--distributed.coordinator HOST:PORT --distributed.processes N --distributed.process-id I"
            ) from None
        raise _not_found(error) from error


def leave(status: int, said: str = "") -> None:
    """Ends this process as one of several that has failed, and says why; alone, it does nothing.

    In an orderly end it would wait for the others, which wait for it in a collective; so they miss its heartbeat.
    """
    if jax.distributed.is_initialized():
        if said:
            print(said, file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(status)


def is_first() -> bool:
    """Of the processes, the one that writes logs, metadata and pictures."""
    return jax.process_index() == 0


def first_says(value: int) -> int:
    """The first process's value, in all of them. All must ask."""
    if jax.process_count() == 1:
        return value
    return int(multihost_utils.broadcast_one_to_all(np.int32(value)))


def share(value: Any) -> Any:
    """The first process's value, which JSON can hold, in all of them. Collective: every process must call it."""
    if jax.process_count() == 1:
        return value
    text = json.dumps(value).encode()
    sent = np.zeros(first_says(len(text)), np.uint8)
    if is_first():
        sent[:] = np.frombuffer(text, np.uint8)
    return json.loads(np.asarray(multihost_utils.broadcast_one_to_all(sent), np.uint8).tobytes())


def together(error: Exception | None) -> None:
    """Waits until all processes have come here. Raises `error`; where there is none, PeerFailed if another has one."""
    if jax.process_count() > 1:
        failed = np.flatnonzero(multihost_utils.process_allgather(np.array([error is not None])))
        if error is None and len(failed):
            raise PeerFailed(f"process {failed[0]} of {jax.process_count()} could not start; see what it says")
    if error is not None:
        raise error
