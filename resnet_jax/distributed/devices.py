"""The only file that knows there is more than one device: it maps a step over the shards of a batch.

Two ways, the same function, state and numbers: `jax.pmap`, and `jax.jit` of `jax.shard_map`. The state is replicated
and has no device axis in either.
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

from resnet_jax.distributed import processes as distributed
from resnet_jax.types import Batch

AXIS = "data"
MODES = ("pmap", "shard_map")


class Parallel:
    """Runs steps over `devices` (default: all of them), each with an equal share of the batch."""

    def __init__(self, mode: str = "pmap", devices: Sequence[jax.Device] | None = None) -> None:
        if mode not in MODES:
            raise ValueError(f"parallel mode {mode!r}; valid: {', '.join(MODES)}")
        self.mode = mode
        # By process: each one's devices are neighbours, and so are its examples in the global batch.
        every = sorted(distributed.devices(), key=lambda device: (device.process_index, device.id))
        self.devices = tuple(every if devices is None else devices)
        self.share = (jax.process_index(), jax.process_count())  # (i, n): this process is i of n
        # Not jax.make_mesh: its explicit axes do not go through every loss (jax 0.12).
        self.mesh = Mesh(np.array(self.devices), (AXIS,))
        self._any = jax.jit(jnp.any, out_shardings=NamedSharding(self.mesh, P()))

    def map(self, step: Callable[..., Any], *, donate_state: bool = False) -> Callable[..., Any]:
        """step(state, batch), written for one shard, as a compiled function of a batch from `shard`.

        What it returns is replicated: the step must have reduced it over the axis. With `donate_state` the memory of
        the state is reused for the new one: the old one must not be touched again.
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
        """A copy of the state on every device. Do this before the first step: it also makes donation safe."""
        replicated = NamedSharding(self.mesh, P())
        return jax.tree.map(lambda x: jax.make_array_from_callback(x.shape, replicated, lambda i: x[i]), _host(state))

    @jax.transfer_guard("allow")
    def shard(self, batch: Batch) -> Batch:
        """This process's share of the global batch, from host memory to its devices.

        Raises:
          ValueError: the batch cannot be split evenly.
        """
        size, devices = len(batch["label"]), len(self.mesh.local_devices)
        if size % devices:
            raise ValueError(f"a batch of {size} cannot be split over {devices} devices; try {size + -size % devices}")
        if self.mode == "pmap":  # wants the device axis spelled out
            batch = {name: x.reshape(devices, size // devices, *x.shape[1:]) for name, x in batch.items()}
        sharding = NamedSharding(self.mesh, P(AXIS))
        return {name: jax.make_array_from_process_local_data(sharding, x) for name, x in batch.items()}

    @jax.transfer_guard("allow")
    def any(self, value: bool) -> jax.Array:
        """Collective: whether `value` is true in any process, bool []. It is computed after the steps under way; the
        host waits for it where it reads it.
        """
        sharding = NamedSharding(self.mesh, P(AXIS))
        flags = jax.make_array_from_process_local_data(sharding, np.full(len(self.mesh.local_devices), value))
        return self._any(flags)

    def prefetch(self, batches: Iterable[Batch], depth: int = 2) -> Iterator[Batch]:
        """`shard` of each batch, with up to `depth` of them on their way to the devices."""
        ahead: deque[Batch] = deque()
        for batch in batches:
            ahead.append(self.shard(batch))
            if len(ahead) > depth:
                yield ahead.popleft()
        yield from ahead


def _host(tree: Any) -> Any:
    return jax.tree.map(np.asarray, tree)
