"""One of two processes that compare pairs with each other: COORDINATOR PROCESS_ID. Their gradient is one device's."""

import sys

import jax
import numpy as np
from small_pairs import GRADIENT, PairNet, pairs, state_of

from resnet_jax.distributed import processes as distributed
from resnet_jax.distributed.devices import MODES, Parallel
from resnet_jax.tasks import Contrastive
from resnet_jax.training.step import make_step

if __name__ == "__main__":
    distributed.start(coordinator=sys.argv[1], processes=2, process_id=int(sys.argv[2]))
    number, batch = jax.process_index(), pairs(16)
    share = {name: x[8 * number : 8 * number + 8] for name, x in batch.items()}
    alone = jax.jit(make_step(PairNet(), GRADIENT, Contrastive().objective, axis_name=None))
    with jax.default_device(jax.local_devices()[0]):
        expected, _ = jax.device_get(alone(state_of(PairNet(), GRADIENT), batch))
        state = jax.device_get(state_of(PairNet(), GRADIENT))
    for mode, local in zip(MODES, (True, False), strict=True):
        parallel = Parallel(mode)
        step = parallel.map(make_step(PairNet(bn_axis="data"), GRADIENT, Contrastive(local_loss=local).objective))
        new, _ = step(parallel.replicate(state), parallel.shard(share))
        params = jax.device_get(new.params)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), params, expected.params)
    print("equal with", len(parallel.devices), "devices")
