"""Several processes that train one net: how they find each other, and agree."""

from __future__ import annotations

import os
import sys

import jax
import numpy as np
from jax.experimental import multihost_utils


class PeerFailed(RuntimeError):
    """Another process of this job could not go on."""


def start(
    *,
    auto: bool = False,
    method: str | None = None,
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    heartbeat_seconds: int = 100,
) -> None:
    """Joins the other processes, if there are to be any; before JAX has touched a device.

    Args:
      auto: coordinator, processes and process_id are those of the scheduler that JAX finds, or of `method`.

    Raises:
      ValueError: no scheduler is found, or the others are not.
    """
    if not auto and coordinator is None:
        return
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
    except (ValueError, RuntimeError, KeyError) as error:
        if "should be defined" in str(error) or "must be defined" in str(error):
            known = "Slurm, Cloud TPU, GKE and Open MPI"
            raise ValueError(
                f"distributed.auto: no scheduler found that JAX knows ({known}); wanted: "
                "--distributed.coordinator HOST:PORT --distributed.processes N --distributed.process-id I"
            ) from None
        raise ValueError(f"the processes did not find each other: {str(error).partition(chr(10))[0]}") from error


def leave(status: int) -> None:
    """Ends this process as one of several that has failed; alone, it does nothing.

    In an orderly end it would wait for the others, which wait for it in a collective; so they miss its heartbeat.
    """
    if jax.process_count() > 1:
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


def together(error: Exception | None) -> None:
    """Waits until all processes have come here. Raises `error`; where there is none, PeerFailed if another has one."""
    if jax.process_count() > 1:
        failed = np.flatnonzero(multihost_utils.process_allgather(np.array([error is not None])))
        if error is None and len(failed):
            raise PeerFailed(f"process {failed[0]} of {jax.process_count()} could not start; see what it says")
    if error is not None:
        raise error
