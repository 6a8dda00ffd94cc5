"""Which fields of a config may change when a run resumes."""

from dataclasses import replace

from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, flat, to_dict
from resnet_jax.runs.files.config_changes import FREE, PATHS, config_changes, describe_changes, is_free


def test_fields_that_may_change_are_fields():
    names = flat(to_dict(Config()))
    assert all(name in names or any(other.startswith(f"{name}.") for other in names) for name in FREE)
    assert all(f"data.{name}" in names and is_free(f"data.{name}") for name in PATHS)
    assert is_free("checkpoint.best") and not is_free("optim.peak_lr") and not is_free("data.name")


def test_changes_of_the_net_come_first_and_paths_when_they_are_asked_for():
    before = Config()
    now = replace(
        before,
        workdir="elsewhere",
        model=ModelConfig(name="resnet50"),
        data=DataConfig(path="photos", padding=2),
        optim=OptimConfig(peak_lr=0.2),
    )
    changed = config_changes(before, now)
    assert list(changed)[0] == "model.name" and set(changed) == {"model.name", "data.padding", "optim.peak_lr"}
    assert describe_changes(changed)[0] == "model.name was 'cifar_resnet20', now 'resnet50'"
    assert "data.path" in config_changes(before, now, with_paths=True)


def test_the_default_warmup_is_no_change():
    before, now = (Config(optim=OptimConfig(warmup_epochs=epochs)) for epochs in (None, 5.0))
    assert config_changes(before, now) == {}
    assert config_changes(before, Config(optim=OptimConfig(warmup_epochs=4.0)))
