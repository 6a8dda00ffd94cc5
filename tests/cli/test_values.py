"""How typed values become values of fields."""

from typing import Annotated

from resnet_jax.cli.values import value_of


def test_one_value_or_several_where_a_field_takes_both():
    convert = value_of(str | tuple[Annotated[str, "NAME"], ...] | None, "label_column").convert
    assert convert.join(["a"], "--x") == "a" and convert.join(["a", "b, c"], "--x") == ("a", "b, c")
    assert convert.join([None], "--x") is None
