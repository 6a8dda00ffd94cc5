"""Help of every command, and requests from arguments."""

import re

import pytest

from resnet_jax.cli.commands import COMMANDS, make_request, parser
from resnet_jax.cli.main import main
from resnet_jax.cli.train import parse
from resnet_jax.config import Config
from resnet_jax.tasks import TASKS


def test_help_is_readable(capsys):
    with pytest.raises(SystemExit) as exit:
        parse(["--help-all"])
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


def test_help_of_train_is_a_screen_that_leads_to_the_other_options(capsys, monkeypatch):
    def shown(*arguments):
        with pytest.raises(SystemExit):
            main(["train", *arguments])
        return capsys.readouterr().out

    monkeypatch.setenv("COLUMNS", "80")
    short = shown("--help", "--config", "folder_resnet18")
    assert len(short.splitlines()) <= 40 and max(map(len, short.splitlines())) <= 80
    for flag in ("--config", "--workdir", "--data.path", "--model.name", "--init.from", "--train.epochs"):
        assert f"  {flag} " in short
    assert "(default: resnet18)" in " ".join(short.split())  # the config's
    assert short.splitlines()[-2].endswith("resnet-jax train --help-all, or of one group --help GROUP")
    group = shown("--help", "log")
    assert "--log.wandb-project" in group and "--data.path" not in group
    assert shown("--help=log") == shown("--help-all", "log") == group
    assert shown("--help", "--model.name", "resnet18").splitlines()[0] == "usage: resnet-jax train [options]"
    with pytest.raises(SystemExit) as exit:
        main(["train", "--help", "optimm"])
    assert exit.value.code == 2 and "no group 'optimm'; did you mean optim" in capsys.readouterr().err
    whole = shown("--help-all")
    assert all(f"{flag}" in whole for flag in ("--log.wandb-project", "--optim.b2", "--distributed.coordinator"))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_describes_every_option_as_people_type_it(name, capsys, monkeypatch):
    for columns in ("80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        with pytest.raises(SystemExit) as exit:
            main([name, "--help-all"])
        assert exit.value.code == 0
        shown = capsys.readouterr().out
        assert max(map(len, shown.splitlines())) <= min(int(columns), 120)
        assert not re.search(r"None|\(default: \)|\[\[|from_|STR", shown)
    assert shown.startswith(f"usage: resnet-jax {name} ")
    for option in parser(name).options.values():
        assert option.help is None or re.match(r"\w", option.help), option.name


def test_help_names_no_task_but_the_default(capsys):
    for name in COMMANDS:
        with pytest.raises(SystemExit):
            main([name, "--help-all"])
        text = capsys.readouterr().out.replace(Config.task, "")
        assert not [task for task in TASKS if re.search(rf"\b{task}\b(?!-loss)", text)], name


def test_help_of_a_switch_that_is_on_says_that_its_flag_turns_it_off(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help-all"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "--log.no-tensorboard without event files in the run's folder (default: on)" in shown
    assert "--data.horizontal-flip mirror half of the training images" in shown
    with pytest.raises(SystemExit):
        main(["train", "--no-data.horizontal-flip"])
    assert "did you mean --data.no-horizontal-flip?" in capsys.readouterr().err


def test_help_of_all_fits_a_screen(capsys):
    main([])
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) <= 23 and max(map(len, shown)) <= 80
    for name in COMMANDS:
        assert any(line.startswith(f"  {name} ") for line in shown)


def test_options_without_effect_are_accepted_with_a_warning(capsys):
    assert make_request("data", ["digits", "--data.eval-batch-size", "3"]).data.eval_batch_size == 3
    assert capsys.readouterr().err == "warning: --data.eval-batch-size has no effect on data\n"


def test_paths_have_the_home_folder_and_addresses_stay(monkeypatch):
    monkeypatch.setenv("HOME", "/home/her")
    request = make_request("predict", ["~/w", "~/a.png", "https://example.org/b.png", "--", "-c.png"])
    assert request.weights == "/home/her/w"
    assert request.images == ("/home/her/a.png", "https://example.org/b.png", "-c.png")
    assert make_request("plot", ["~/w", "--out=~/x"]).out == "/home/her/x"
