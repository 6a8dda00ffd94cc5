"""Files of nets of time series, with tsai's names."""

import numpy as np
import pytest
import recipe
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file, save_file

from resnet_jax import create_model, load_pretrained, save_torch_state
from resnet_jax.models import get_spec


@pytest.mark.parametrize("name", ["tsc_resnet", "tsc_fcn", "inception_time", "xresnet1d18", "tcn"])
def test_files_with_tsais_names_are_written_and_read(name, tmp_path):
    net = create_model(name, in_channels=3, num_classes=4)
    theirs = net.clone(**get_spec(name).name_tables["tsai"].overrides)  # tsai's kernels are shorter
    variables, path = recipe.variables(theirs.clone(image_size=(16,))), tmp_path / "net.safetensors"
    save_torch_state(variables, net, path, layout="tsai")
    loaded = load_pretrained(path, model=net)
    assert (loaded.model.stages, loaded.model.head) == (theirs.stages, theirs.head) and get_spec(
        loaded.model
    ).name == name
    assert loaded.preprocess.mean == () and loaded.preprocess.source == f"none: {name} takes no images"
    save_torch_state(loaded.variables, loaded.model, again := tmp_path / "again.safetensors", layout="tsai")
    for file in (loaded, load_pretrained(again, model=net)):
        expected, actual = (flatten_dict(tree) for tree in (variables, file.variables))
        assert expected.keys() == actual.keys()
        for key, value in expected.items():
            np.testing.assert_array_equal(actual[key], value)


def test_a_tcn_has_its_convolutions_twice_as_in_tsais_files(tmp_path):
    net = create_model("tcn", in_channels=3, num_classes=4)
    variables = recipe.variables(net.clone(image_size=(16,)))
    save_torch_state(variables, net, path := tmp_path / "net.safetensors", layout="tsai")
    state, branch = load_file(path), variables["params"]["stage2_block0"]["branch"]
    for name in ("tcn.1.conv2", "tcn.1.net.4"):
        np.testing.assert_array_equal(state[f"{name}.weight_v"], branch["conv2"]["kernel"].transpose(2, 1, 0))
        np.testing.assert_array_equal(state[f"{name}.weight_g"], branch["conv2"]["scale"][:, None, None])
        np.testing.assert_array_equal(state[f"{name}.bias"], branch["conv2"]["bias"])
    assert len(state) == 8 * 12 + 4  # a shortcut and a classifier besides
    alone = {name: x for name, x in state.items() if ".net." not in name}
    save_file(alone, path)
    load_pretrained(path, model=net)
    save_file(alone | {"tcn.1.conv2.weight_g": np.ones((25, 2, 1), np.float32)}, path)
    message = r"1 of another shape: tcn.1.conv2.weight_g \(as \[25, 2, 1\] for \[25\]\)"
    with pytest.raises(ValueError, match=message):
        load_pretrained(path, model=net)
