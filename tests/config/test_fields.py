"""Declared fields: their metadata, and the values that are valid."""

from dataclasses import dataclass, fields

import pytest

from resnet_jax.config.fields import ADDRESS, AREA, CLASS_WEIGHTS, COUNT, JITTER, SHARE, argument, class_weight, option


@dataclass
class Request:
    run: str = argument("a run")
    top: int | None = option(None, "how many", COUNT, none="all")


def test_a_field_has_its_help_and_its_valid_values():
    run, top = fields(Request)
    assert run.metadata["positional"] and run.metadata["help"] == "a run"
    assert (top.metadata["help"], top.metadata["valid"], top.metadata["none"]) == ("how many", COUNT, "all")
    assert Request("a").top is None
    with pytest.raises(TypeError):
        Request()


@pytest.mark.parametrize(
    ("valid", "good", "bad"),
    [
        (COUNT, [1, 10**9], [0, -1, 10**9 + 1]),
        (SHARE, [0, 0.5], [1, -0.1]),
        (AREA, [(0.08, 1.0), (1.0, 1.0)], [(0.0, 1.0), (0.5, 0.4), (0.5, 1.1)]),
        (JITTER, [(0, 0, 0, 0.5)], [(0, 0, 0, 0.6), (-1, 0, 0, 0)]),
        (ADDRESS, ["host:80", "::1:65535"], ["host", ":80", "host:0", "host:65536", "host:x"]),
        (
            CLASS_WEIGHTS,
            ["balanced", (1.0, 0.0), ("cat=2", "dog=0.5")],
            [(0.0, 0.0), (-1.0, 1.0), ("cat=2", 1.0), ("cat",), ("cat=x",), (1e10,)],
        ),
    ],
)
def test_valid_values(valid, good, bad):
    assert all(valid.holds(value) for value in good)
    assert not any(valid.holds(value) for value in bad)


def test_a_class_weight_may_have_equal_signs_in_its_name():
    assert class_weight("a=b=2") == ("a=b", 2.0)
    with pytest.raises(ValueError):
        class_weight("cat")
