"""Maps a training or evaluation step over the shards of a batch. The only file that knows of several devices.

`jax.pmap` and `jax.jit` of `jax.shard_map` run the same function with the same state and give the same numbers. The
state is replicated and has no device axis.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from resnet_jax.distributed import processes
from resnet_jax.types import Batch

AXIS = "data"
MODES = ("pmap", "shard_map")


class Parallel:
    """Runs steps on `devices` (default: all of them), each with an equal share of the batch.

    Raises:
      ValueError: an unknown mode, or JAX has no device.
    """

    def __init__(self, mode: str = "pmap", devices: Sequence[jax.Device] | None = None) -> None:
        if mode not in MODES:
            raise ValueError(f"expected parallel mode {' or '.join(MODES)}, got {mode!r}")
        self.mode = mode
        # Ordered by process: the devices of a process are neighbours, as its examples are in the global batch.
        every = sorted(processes.devices(), key=lambda device: (device.process_index, device.id))
        self.devices = tuple(every if devices is None else devices)
        self.share = (jax.process_index(), jax.process_count())  # (i, n): this process is i of n
        # Not jax.make_mesh: losses of Optax fail on its explicit axes (jax 0.12).
        self.mesh = Mesh(np.array(self.devices), (AXIS,))
        self._any = jax.jit(jnp.any, out_shardings=NamedSharding(self.mesh, P()))

    def map(self, step: Callable[..., Any], *, donate_state: bool = False) -> Callable[..., Any]:
        """Compiles `step(state, batch)`, written for one shard, to a function of a batch from `shard`.

        The step must reduce its results over the axis, because they are returned as replicated. With `donate_state`
        the new state reuses the memory of the old one, which must not be used again.
        """
        donate = (0,) if donate_state else ()
        if self.mode == "pmap":
            return jax.pmap(
                step, AXIS, in_axes=(None, 0), out_axes=None, donate_argnums=donate, devices=list(self.devices)
            )
        mapped = jax.shard_map(step, mesh=self.mesh, in_specs=(P(), P(AXIS)), out_specs=P(), check_vma=False)
        return jax.jit(mapped, donate_argnums=donate)

    @jax.transfer_guard("allow")  # this transfer is explicit
    def replicate(self, state: Any) -> Any:
        """Copies the state to every device. Call it before the first step, which then can donate its input."""
        replicated = NamedSharding(self.mesh, P())
        return jax.tree.map(lambda x: jax.make_array_from_callback(x.shape, replicated, lambda i: x[i]), _host(state))

    @jax.transfer_guard("allow")
    def shard(self, batch: Batch) -> Batch:
        """Copies this process's share of the global batch from host memory to its devices.

        Raises:
          ValueError: the batch size is not a multiple of the number of devices.
        """
        size, devices = len(batch["label"]), len(self.mesh.local_devices)
        if size % devices:
            nearest = size + -size % devices
            raise ValueError(f"expected a batch that {devices} devices divide, got {size}; did you mean {nearest}?")
        if self.mode == "pmap":  # takes batches with a device axis
            batch = {name: x.reshape(devices, size // devices, *x.shape[1:]) for name, x in batch.items()}
        sharding = NamedSharding(self.mesh, P(AXIS))
        if self.share[1] == 1:
            return jax.device_put(dict(batch), sharding)  # in one call, which takes a third of the time
        return {name: jax.make_array_from_process_local_data(sharding, x) for name, x in batch.items()}

    @jax.transfer_guard("allow")
    def any(self, value: bool) -> jax.Array:
        """Whether `value` is true in any process, bool []. Collective: every process must call it.

        It is computed after the steps that are running; reading it waits for them.
        """
        sharding = NamedSharding(self.mesh, P(AXIS))
        flags = jax.make_array_from_process_local_data(sharding, np.full(len(self.mesh.local_devices), value))
        return self._any(flags)

    def prefetch(self, batches: Iterable[Batch], depth: int = 2) -> Iterator[Batch]:
        """`shard` of each batch, copied up to `depth` batches ahead."""
        return (batch for _, batch in self.prefetch_calls(((1, batch) for batch in batches), depth))

    def prefetch_calls(self, calls: Iterable[tuple[int, Batch]], depth: int = 2) -> Iterator[tuple[int, Batch]]:
        """`prefetch` for batches that have a number of steps beside them."""
        ahead: deque[tuple[int, Batch]] = deque()
        for count, batch in calls:
            ahead.append((count, self.shard(batch)))
            if len(ahead) > depth:
                yield ahead.popleft()
        yield from ahead


def _host(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)
