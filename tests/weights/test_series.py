"""Files of nets of time series, with tsai's names."""

import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict

from resnet_jax import create_model, load_pretrained, save_torch_state
from resnet_jax.models import get_spec


@pytest.mark.parametrize("name", ["tsc_resnet", "tsc_fcn", "inception_time", "xresnet1d18"])
def test_files_with_tsais_names_are_written_and_read(name, tmp_path):
    net = create_model(name, in_channels=3, num_classes=4)
    theirs = net.clone(**get_spec(name).name_tables["tsai"].overrides)  # tsai's kernels are shorter
    variables, path = recipe.variables(theirs.clone(image_size=(16,))), tmp_path / "net.safetensors"
    save_torch_state(variables, net, path, layout="tsai")
    loaded = load_pretrained(path, model=net)
    assert loaded.model.stages == theirs.stages and get_spec(loaded.model).name == name
    assert loaded.preprocess.mean == () and loaded.preprocess.source == f"none: {name} takes no images"
    save_torch_state(loaded.variables, loaded.model, again := tmp_path / "again.safetensors", layout="tsai")
    for file in (loaded, load_pretrained(again, model=net)):
        expected, actual = (flatten_dict(tree) for tree in (variables, file.variables))
        assert expected.keys() == actual.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(actual[key], value)
