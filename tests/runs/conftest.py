import pytest
from small_run import config

from resnet_jax.runs.trainer import train


@pytest.fixture(scope="session")
def finished(tmp_path_factory, tfds_dir):
    """The directory of a finished run, and the results of its last test."""
    directory = tmp_path_factory.mktemp("finished")
    return directory, train(config(directory, tfds_dir))
