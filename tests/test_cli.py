import dataclasses
import re

import pytest

from resnet_jax.cli import COMMANDS, _parser, main, parse
from resnet_jax.config import Config


def test_defaults_and_typed_overrides():
    assert parse([]) == Config()
    config = parse(
        [
            "--optim.peak-lr",
            "0.2",
            "--workdir=/tmp/x",
            "--optim.nesterov",
            "--data.mean",
            "0.5",
            "0.4",
            "--model.stem",
            "cifar",
        ]
    )
    assert config.optim == dataclasses.replace(Config().optim, peak_lr=0.2, nesterov=True)
    assert (config.workdir, config.data.mean, config.model.stem) == ("/tmp/x", (0.5, 0.4), "cifar")


def test_a_file_is_the_start_and_options_override_it(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from resnet_jax.config import *\nconfig = Config(workdir='w', train=TrainConfig(epochs=3.0))\n")
    for arguments in (["--config", str(file)], [f"--config={file}"]):
        assert parse([*arguments, "--train.seed", "7"]).train == dataclasses.replace(Config().train, epochs=3.0, seed=7)
    assert parse(["--config", str(file)]).workdir == "w"


def test_a_name_takes_the_place_of_the_path_of_a_file(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from resnet_jax.config import *\nconfig = Config(data=DataConfig(path='pictures'))\n")
    at = ["--config", str(file)]
    assert parse(at).data.path == "pictures"
    named = parse([*at, "--data.name", "cifar10"]).data
    assert (named.name, named.path) == ("cifar10", None)
    assert parse([*at, "--data.name=x", "--data.path", "other"]).data.path == "other"


def test_help_is_readable(capsys):
    with pytest.raises(SystemExit) as exit:
        parse(["--help"])
    assert exit.value.code == 0
    shown = capsys.readouterr().out
    for text in (
        "--config FILE",
        "--init.from PATH",
        "--optim.peak-lr FLOAT",
        "highest learning rate",
        "(default: 0.1)",
        "{pmap,shard_map}",
    ):
        assert text in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--optim.peak-lrr", "0.2"], "no option --optim.peak-lrr; close: --optim.peak-lr"),
        (["--optm.peak-lr=0.2"], "no option --optm.peak-lr; did you mean --optim.peak-lr?"),
        (["--optim.peak-lr", "fast"], "--optim.peak-lr: expected a number, got 'fast'"),
        (["--train.parallel", "jit"], "--train.parallel: expected pmap or shard_map, got 'jit'"),
        (["--data.batch-size", "1.5"], "--data.batch-size: expected a whole number, got '1.5'"),
        (["--optim.peak-lr"], "--optim.peak-lr: expected FLOAT, got nothing"),
        (["stray"], "unexpected argument 'stray'; see resnet-jax train --help"),
        (["--config"], "--config: expected FILE, got nothing"),
        (["--config", "configs/nothing.py"], "no config file 'configs/nothing.py'"),
    ],
)
def test_a_mistake_is_one_clear_line(capsys, arguments, said):
    with pytest.raises(SystemExit) as exit:
        parse(arguments)
    assert exit.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("error: ") and error.count("\n") == 1


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_describes_every_option_as_people_type_it(name, capsys, monkeypatch):
    for columns in ("80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        with pytest.raises(SystemExit) as exit:
            main([name, "--help"])
        assert exit.value.code == 0
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= min(int(columns), 120)
        assert not re.search(r"None|\(default: \)|\[\[|from_|STR", shown)
    assert shown.startswith(f"usage: resnet-jax {name} ")
    for option in _parser(name).options.values():
        assert option.help is None or re.match(r"\w", option.help), option.name


def test_help_of_all_fits_a_screen(capsys):
    main([])
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) <= 23 and max(map(len, shown)) <= 80
    for name in COMMANDS:
        assert any(line.startswith(f"  {name} ") for line in shown)
