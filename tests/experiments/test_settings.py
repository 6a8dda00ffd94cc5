from resnet_jax.config import check_config
from resnet_jax.experiments.settings import DEFAULTS


def test_default_settings_are_valid_and_have_directories_of_their_own():
    for settings in DEFAULTS.values():
        check_config(settings.config)
    assert len({settings.config.workdir for settings in DEFAULTS.values()}) == len(DEFAULTS) == 3
