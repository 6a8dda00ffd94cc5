import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resnet_jax.config import Config, DataConfig, ModelConfig, changes, from_dict, load_config, to_dict


@given(
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.floats(0, 1)),
    st.booleans(),
    st.none() | st.integers(1, 9),
)
def test_json_round_trip(rate, means, nesterov, group):
    config = Config(
        model=ModelConfig(bn_group_size=group),
        data=DataConfig(mean=tuple(means)),
        optim=dataclasses.replace(Config().optim, peak_lr=rate, nesterov=nesterov),
    )
    assert from_dict(to_dict(config)) == config


def test_absent_fields_have_their_defaults_and_unknown_ones_are_named():
    assert from_dict({"optim": {"peak_lr": 0.5}}).optim.peak_lr == 0.5
    assert from_dict({}) == Config()
    with pytest.raises(ValueError, match="OptimConfig has no field 'peaklr'; close: peak_lr"):
        from_dict({"optim": {"peaklr": 0.5}})


def test_changes_name_fields():
    other = dataclasses.replace(Config(), data=DataConfig(batch_size=3))
    assert changes(to_dict(Config()), to_dict(other)) == {"data.batch_size": (128, 3)}
    assert changes(to_dict(Config()), to_dict(Config())) == {}


@pytest.mark.parametrize(
    ("name", "text", "error", "said"),
    [
        ("a.py", "config = 3", ValueError, "defines no `config = Config"),
        ("a.py", "import nothing_of_that_name", ValueError, "ModuleNotFoundError"),
        ("a.py", "config = (", ValueError, "SyntaxError"),
        ("b.py", "", FileNotFoundError, "no config file"),
    ],
)
def test_files_that_are_no_configs_are_named(tmp_path, name, text, error, said):
    (tmp_path / "a.py").write_text(text)
    with pytest.raises(error) as caught:
        load_config(tmp_path / name)
    assert said in str(caught.value)
    assert name == "a.py" or "close: a.py" in str(caught.value)
