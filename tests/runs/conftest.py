import pytest
import small_run
from image_folders import write_images

from resnet_jax.runs.trainer import train


@pytest.fixture(scope="session")
def finished(tmp_path_factory, tfds_dir):
    """The directory of a finished run, and the results of its last test."""
    directory = tmp_path_factory.mktemp("finished")
    return directory, train(small_run.config(directory, tfds_dir))


@pytest.fixture
def images(tmp_path):
    """A folder of cats and dogs, twelve each."""
    write_images(tmp_path / "set")
    return tmp_path / "set"
