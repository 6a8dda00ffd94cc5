import pytest
from small_checkpoints import META, state

from resnet_jax.checkpoints.manager import Checkpoints
from resnet_jax.distributed.devices import Parallel


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """Five saved steps, of which the second is the best."""
    folder = tmp_path_factory.mktemp("run")
    with Checkpoints(folder / "checkpoints", keep_latest=2) as checkpoints:
        for step, top1 in enumerate([0.1, 0.9, 0.3, 0.2, 0.4], 1):
            checkpoints.save(step, Parallel().replicate(state(step)), META, test_due=True)
            checkpoints.record_test(step, {"top1": top1, "loss": 1 - top1 / 2, "images": 10})
        checkpoints.wait()
        assert checkpoints.latest_step == 5
        with pytest.raises(RuntimeError, match="step 4 was not saved: .* already has step 5"):
            checkpoints.save(4, state(4), META)
    return folder
