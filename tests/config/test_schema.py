"""The declaration of the fields."""

from dataclasses import fields, is_dataclass

from resnet_jax.config import Config, check_config


def test_every_field_has_its_help_and_a_valid_default():
    check_config(Config())
    check_fields(Config())


def check_fields(values):
    for field in fields(values):
        if is_dataclass(value := getattr(values, field.name)):
            check_fields(value)
            continue
        assert field.metadata["help"], field.name
        assert field.default is not None or field.metadata["none"] or field.name in WITHOUT_DEFAULT, field.name


WITHOUT_DEFAULT = {"path", "method", "coordinator", "processes", "process_id"}  # nothing takes the place of None
