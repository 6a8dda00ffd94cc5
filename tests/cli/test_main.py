import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from resnet_jax.cli.commands import COMMANDS, make_request, parser
from resnet_jax.cli.main import main
from resnet_jax.cli.messages import as_typed
from resnet_jax.cli.train import parse
from resnet_jax.config import Config, DataConfig, ModelConfig, OptimConfig, to_dict


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


def test_a_length_in_steps_takes_the_place_of_epochs_and_the_folder_is_named_by_data_and_net(tmp_path, capsys):
    (tmp_path / "c.py").write_text(
        "from resnet_jax.config import Config, TrainConfig\nconfig = Config(train=TrainConfig(epochs=90.0))"
    )
    config = ["--config", str(tmp_path / "c.py")]
    assert parse([*config, "--train.steps", "7"]).train == dataclasses.replace(Config().train, steps=7)
    assert parse([*config, "--train.epochs", "7"]).train.epochs == 7
    for length in (["--train.steps", "7"], ["--train.epochs", "2"]):
        short = parse(["--config", "folder_resnet18", *length])
        assert short.optim.warmup_shrinks and short.optim.warmup_epochs == 2
        assert not parse(["--config", "folder_resnet18", *length, "--optim.warmup-epochs", "2"]).optim.warmup_shrinks
        assert not parse(length).optim.warmup_shrinks
        assert make_request("experiment", ["degradation", *length]).optim.warmup_shrinks
    with pytest.raises(SystemExit):
        parse(["--train.steps", "7", "--train.epochs", "2"])
    assert "two lengths of one run; set one of them" in capsys.readouterr().err
    assert parse(["--model.name", "resnet18", "--data.path", "a/pets"]).workdir == "runs/pets_resnet18"
    assert parse([]).workdir == "runs/digits_resnet20" and parse(["--workdir", "w", "--data.path", "a"]).workdir == "w"


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
    assert shown("--help=log") == group
    assert shown("--help", "--model.name", "resnet18").splitlines()[0] == "usage: resnet-jax train [options]"
    with pytest.raises(SystemExit) as exit:
        main(["train", "--help", "optimm"])
    assert exit.value.code == 2 and "no group 'optimm'; did you mean optim" in capsys.readouterr().err
    whole = shown("--help-all")
    assert all(f"{flag}" in whole for flag in ("--log.wandb-project", "--optim.b2", "--distributed.coordinator"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--optim.peak-lrr", "0.2"], "no option --optim.peak-lrr; did you mean --optim.peak-lr"),
        (["--optm.peak-lr=0.2"], "no option --optm.peak-lr; did you mean --optim.peak-lr?"),
        (["--optim.peak-lr", "fast"], "--optim.peak-lr: expected a number, got 'fast'"),
        (["--train.parallel", "jit"], "--train.parallel: expected pmap or shard_map, got 'jit'"),
        (["--data.batch-size", "1.5"], "--data.batch-size: expected a whole number, got '1.5'"),
        (["--optim.peak-lr"], "--optim.peak-lr: expected FLOAT, got nothing"),
        (["stray"], "unexpected argument 'stray'; see resnet-jax train --help"),
        (["--config"], "--config: expected FILE, got nothing"),
        (["--config", "configs/nothing.py"], "no config file 'configs/nothing.py'"),
        (["--config", "folder_resnet1"], "no config file 'folder_resnet1'; did you mean folder_resnet18"),
        (["--config", "README.md"], "expected a .py file with `config = Config(...)` or a run's config.json"),
        (["--data.channels", "2"], "--data.channels: expected 1 or 3, got '2'"),
        (["--data.crop-area", "0.5"], "--data.crop-area: expected 2 values, got 0.5"),
        (
            ["--data.color-jitter", "0.4"],
            "--data.color-jitter: expected 4 values, BRIGHTNESS CONTRAST SATURATION HUE, got 0.4",
        ),
        (["--optim.class-weights", "cat"], "expected balanced or a number or CLASS=WEIGHT, got 'cat'"),
        (["-q"], "no option -q; did you mean --train.log-every-steps?"),
        (["--log.tensorboard=maybe"], "--log.tensorboard: expected nothing, true or false, got 'maybe'"),
        (["--Optim.Peak-LR", "1"], "no option --Optim.Peak-LR; did you mean --optim.peak-lr?"),
        (["--optim.optimizer", "ADAMW"], "expected sgd or adamw, got 'ADAMW'; did you mean adamw"),
        (["--model.dtype", "bf16"], "expected float32 or bfloat16, got 'bf16'; did you mean bfloat16"),
    ],
)
def test_a_mistake_is_one_clear_line(capsys, arguments, said):
    with pytest.raises(SystemExit) as exit:
        parse(arguments)
    assert exit.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("error: ") and error.count("\n") == 1


def test_names_that_have_no_commas_may_be_typed_with_commas_between_them():
    """Classes may have them: those lists are split where the data is known."""
    config = parse(["--model.frozen-norms", "stem,stage1", "--data.classes", "cat,dog"])
    assert config.model.frozen_norms == ("stem", "stage1") and config.data.classes == ("cat,dog",)


def test_class_weights_by_name_are_typed_as_other_lists():
    for typed in (["cat=1.5", "dog, wet=2"], ["cat=1.5,dog, wet=2"]):
        assert parse(["--optim.class-weights", *typed]).optim.class_weights == ("cat=1.5", "dog, wet=2")
    assert parse(["--optim.class-weights", "1,2"]).optim.class_weights == (1.0, 2.0)
    assert parse(["--optim.class-weights", "balanced"]).optim.class_weights == "balanced"


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


def test_help_of_a_switch_that_is_on_says_that_its_flag_turns_it_off(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help-all"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "--log.no-tensorboard turn off: event files in the run's folder (default: on)" in shown
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


VALUES = {
    "--data.horizontal-flip True": True,
    "--data.horizontal-flip 0": False,
    "--data.no-horizontal-flip": False,
    "--data.no-horizontal-flip=False": True,
    "--log.tensorboard off": False,
    "--data.mean 0.5,0.4,-1e-3": (0.5, 0.4, -0.001),
    "--data.mean -.5 0.4, 0.3": (-0.5, 0.4, 0.3),
    "--data.mean [0.5,0.4]": (0.5, 0.4),
    "--data.std None": None,
    "--optim.decay-epochs 80,120": (80.0, 120.0),
    "--data.classes tench,fish cat": ("tench,fish", "cat"),
    "--data.batch_size 1e2": 100,
    "--data.batch-size=64.0": 64,
    "--data.channels 3": 3,
    "--init.from_ x": "x",
    "--optim.lr-multiplier ^(?!head/dense)=0.1": ("^(?!head/dense)=0.1",),
}


@pytest.mark.parametrize("typed", VALUES)
def test_values_as_people_type_them(typed):
    group, _, name = typed.split()[0].partition("=")[0].removeprefix("--").replace("no-", "").partition(".")
    name = name.replace("-", "_")
    assert getattr(getattr(parse(typed.split()), group), name) == VALUES[typed]


OTHERS = {
    "--optim.peak-lr": "--lr --learning-rate --optim.lr --peak-lr",
    "--train.epochs": "--epochs --num-epochs",
    "--data.batch-size": "-b --batch-size --bs",
    "--model.dtype bfloat16": "--amp --fp16",
    "--data.threads": "-j --workers",
    "--workdir": "-o --output --name --project --save-dir",
    "--init.from": "--pretrained --weights",
    "--data.path": "--data",
    "--data.image-size": "--imgsz --img-size --image-size",
    "--model.name": "--model --arch",
    "--train.seed": "--seed",
    "--optim.weight-decay": "--wd --weight-decay",
    "--optim.optimizer": "--opt --optimizer",
    "--optim.momentum": "--momentum",
}


@pytest.mark.parametrize("ours", OTHERS)
def test_options_of_other_trainers_lead_to_ours(ours, capsys):
    for other in OTHERS[ours].split():
        for command in ("train", "experiment"):
            if command == "experiment" and not ours.startswith(("--optim", "--data", "--train", "--model.dtype")):
                continue
            with pytest.raises(SystemExit):
                main([command, other, "0.1"])
            assert capsys.readouterr().err == f"error: no option {other}; did you mean {ours}?\n"


SUGGESTIONS = {
    "train --val_dir D": "--data.path names the folder that holds train and val",
    "train --resume-from R": "the same command on the same --workdir resumes",
    "train --checkpoint-dir D": "did you mean --workdir?",
    "train --evaluate": "resnet-jax eval RUN evaluates a run",
    "train --test-only": "resnet-jax eval RUN evaluates a run",
    "train --crop-pct 0.9": "did you mean --data.resize?",
    "train --print-freq 5": "did you mean --train.log-every-steps?",
    "train --no-aug": "did you mean --data.padding 0?",
    "train --world-size 2": "did you mean --distributed.processes?",
    "train --local_rank 0": "did you mean --distributed.process-id?",
    "train --cpu": "JAX_PLATFORMS=cpu chooses",
    "train --loss mse": "did you mean --task?",
    "train --verbose": "did you mean --train.log-every-steps?",
    "train --root D": "did you mean --data.path?",
    "predict --model X": "the run is an argument without a flag",
    "eval --model X": "the run is an argument without a flag",
    "summary --model X": "the net is an argument without a flag",
    "predict --checkpoint 3": "did you mean --step?",
    "predict --csv F": "did you mean --json?",
    "eval --csv F": "did you mean --out FILE.csv?",
    "predict --output F": "did you mean --json?",
}


@pytest.mark.parametrize("line", SUGGESTIONS)
def test_suggestions_fit_the_command(line, capsys):
    with pytest.raises(SystemExit):
        main(line.split())
    error = capsys.readouterr().err
    assert SUGGESTIONS[line] in error and error.count("\n") == 1, error


def test_messages_name_options_as_they_are_typed():
    for message, typed in {
        "data.batch_size=128, but": "--data.batch-size 128, but",
        "set data.image_size": "set --data.image-size",
        "init.from: nothing": "--init.from: nothing",
        "set --init.from; data/data.path/x 'data.path' my.data.path train.stepsize": None,
        "workdir: expected a folder": "--workdir: expected a folder",
        "the task: a word; another workdir": None,
        "the best (checkpoint.best).": "the best (--checkpoint.best).",
    }.items():
        assert as_typed(message) == (typed or message)


def test_a_file_of_weights_is_not_a_run(tmp_path, capsys):
    file = tmp_path / "r18.safetensors"
    file.write_bytes(b"")
    for line in (["eval", str(file)], ["predict", str(file), "x.png"]):
        with pytest.raises(SystemExit):
            main(line)
        assert "got " in (error := capsys.readouterr().err) and "load_pretrained reads it" in error


def test_a_summary_of_a_run_leads_to_the_list_of_nets(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["summary", str(tmp_path)])
    error = capsys.readouterr().err
    assert "expected the name of a net, as resnet-jax models lists them" in error and "list_models" not in error


def test_commands_that_need_the_runs_images_say_so(tmp_path, capsys):
    config = dataclasses.replace(Config(), data=DataConfig(path=str(tmp_path / "gone")))
    (tmp_path / "config.json").write_text(json.dumps({"config": to_dict(config)}))
    for line in (["replay", str(tmp_path), "1"], ["recalibrate", str(tmp_path)]):
        with pytest.raises(SystemExit):
            main(line)
        assert f"gone', where {tmp_path} read its images; move them back" in capsys.readouterr().err


def test_the_package_of_a_dataset_is_named(capsys):
    if not Path("/usr/share/datasets/fashion-mnist").exists():
        with pytest.raises(SystemExit):
            main(["train", "--config", "fashion_mnist_resnet20"])
        assert capsys.readouterr().err.endswith("have it in the package dataset-fashion-mnist\n")


def test_what_no_option_of_ours_does_is_said(capsys):
    for other, said in (("--device", "JAX_PLATFORMS"), ("--num-classes", "the data's"), ("--resume", "same command")):
        with pytest.raises(SystemExit):
            main(["train", other, "0"])
        error = capsys.readouterr().err
        assert error.startswith(f"error: no option {other}; ") and said in error and error.count("\n") == 1


def test_unknown_options_are_reported_together_and_lead_to_what_works(capsys):
    said = {
        "train --lr 0.1 --epochs 3 -b 16": "no option --lr; did you mean --optim.peak-lr? "
        "no option --epochs; did you mean --train.epochs? no option -b; did you mean --data.batch-size?",
        "--lr 3": "expected a command before options, as resnet-jax train; "
        "no option --lr; did you mean --optim.peak-lr?",
        "--optim.peak-lr 3": "expected a command, got --optim.peak-lr; did you mean resnet-jax train --optim.peak-lr?",
        "train --data-dir x": "no option --data-dir; did you mean --data.path?",
        "train --grad-accum 2": "no option --grad-accum; did you mean --optim.accumulate?",
        "train --out x": "no option --out; did you mean --workdir?",
        "train --val-split 0.2": "no option --val-split; did you mean "
        "--data.train-split 'train[:80%]' --data.test-split 'train[80%:]'?",
    }
    for line, error in said.items():
        with pytest.raises(SystemExit):
            main(line.split())
        assert capsys.readouterr().err == f"error: {error}\n"


def test_a_config_is_found_by_its_name_and_a_run_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    shipped = parse(["--config", "folder_resnet18", "--train.epochs", "7"])
    assert shipped.model.name == "resnet18" and shipped.train.epochs == 7
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps({"config": to_dict(shipped), "versions": {}}))
    for name in ("run", "run/config.json", "~/run/config.json"):
        assert parse(["--config", name, "--workdir", "~/again"]) == dataclasses.replace(
            shipped, workdir=str(tmp_path / "again")
        )


def test_a_config_may_import_its_neighbours(tmp_path):
    for folder, epochs in (("a", 3.0), ("b", 5.0)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "base.py").write_text(
            f"from resnet_jax.config import *\nconfig = Config(train=TrainConfig(epochs={epochs}), workdir='~/w')\n"
        )
        (tmp_path / folder / "mine.py").write_text("from base import config\n")
        path = list(sys.path)
        config = parse(["--config", str(tmp_path / folder / "mine.py")])
        assert config.train.epochs == epochs and config.workdir == str(Path.home() / "w")
        assert sys.path == path and "base" not in sys.modules


def test_paths_have_the_home_folder_and_addresses_stay(monkeypatch):
    monkeypatch.setenv("HOME", "/home/her")
    request = make_request("predict", ["~/w", "~/a.png", "https://example.org/b.png", "--", "-c.png"])
    assert request.run == "/home/her/w"
    assert request.images == ("/home/her/a.png", "https://example.org/b.png", "-c.png")
    assert make_request("plot", ["~/w", "--out=~/x"]).out == "/home/her/x"


def test_options_without_effect_are_accepted_with_a_warning(capsys):
    assert make_request("data", ["digits", "--data.eval-batch-size", "3"]).data.eval_batch_size == 3
    assert capsys.readouterr().err == "warning: --data.eval-batch-size has no effect on data\n"


def test_completion_of_a_shell(capsys):
    pytest.importorskip("shtab")
    for shell in ("bash", "zsh"):
        main(["--tyro-print-completion", shell])
        out, error = capsys.readouterr()
        assert "resnet" in out and "--optim.peak-lr" in out and "shard_map" in out and "degradation" in out
        assert error == "warning: --tyro-print-completion is now --print-completion\n"
    with pytest.raises(SystemExit):
        main(["--print-completion=nosuch"])
    assert "expected bash or " in capsys.readouterr().err


@pytest.mark.parametrize("arguments", ["train --help", "models"])
def test_a_closed_pipe_ends_a_command_quietly(arguments):
    line = f"{sys.executable} -m resnet_jax {arguments} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.count("\n") == 1 and done.returncode in (0, 1)


def test_fine_tuning_takes_net_and_data_of_the_run_where_nothing_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    source = Config(
        model=ModelConfig(name="resnet18", stem="cifar"),
        data=DataConfig(path="pictures", image_size=64, channels=3, interpolation="bicubic", classes=("a", "b")),
        optim=OptimConfig(peak_lr=0.3),
    )

    def keep(config, folder):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "config.json").write_text(json.dumps({"config": to_dict(config)}))

    keep(source, "other")
    tuned = parse(["--init.from", "other", "--workdir", "new"])
    assert (tuned.model, tuned.data, tuned.optim) == (source.model, source.data, Config().optim)
    said = capsys.readouterr().out
    assert said.startswith("taken from other: --model.name 'resnet18', --model.stem 'cifar', ")
    assert said.count("\n") == 1

    # What is said counts, a default value too; settings that are of one dataset alone are not those of another.
    data = parse("--init.from other --data.path mine --data.interpolation bilinear".split()).data
    assert data == DataConfig(path="mine", image_size=64, channels=3)
    assert parse("--init.from other --model.name resnet34".split()).model == ModelConfig(name="resnet34")
    (tmp_path / "mine.py").write_text(
        "from resnet_jax.config import *\nconfig = Config(data=DataConfig(image_size=32))"
    )
    assert parse("--config mine.py --init.from other".split()).data.image_size == 32

    # The same command again resumes, whatever has become of the source; another source is another run.
    keep(tuned, "new")
    keep(dataclasses.replace(source, data=DataConfig()), "other")
    assert parse("--init.from other --workdir new".split()) == tuned
    (tmp_path / "other" / "config.json").unlink()
    capsys.readouterr()
    assert parse("--init.from other --workdir new".split()) == tuned
    assert parse("--init.from file.pth --workdir new".split()).data == DataConfig()
    assert capsys.readouterr().out == ""
    (tmp_path / "other" / "config.json").write_text("{")
    with pytest.raises(SystemExit):
        parse(["--init.from", "other"])
    assert "error: --init.from: other/config.json is not the config of a run" in capsys.readouterr().err


def test_a_net_is_found_without_its_prefix(capsys):
    for line in ("train --model.name resnet20", "summary resnet20", "models resnet20"):
        with pytest.raises(SystemExit):
            main(line.split())
        assert "'resnet20'; did you mean cifar_resnet20, " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "--model.name", "resnet18.a1_in1k"])
    assert capsys.readouterr().err.endswith("; did you mean resnet18?\n")


def test_a_shipped_config_names_the_option_it_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for line, error in {
        "--config transfer_resnet18": "init.from: nothing at 'resnet18-f37072fd.pth'; expected a run or a file of "
        "weights (.safetensors or .pth, of timm or torchvision; none is downloaded); set --init.from",
        "--init.from runs/nope --data.path other": "init.from: nothing at 'runs/nope'; ",
        "--init.from resnet18": "init.from: nothing at 'resnet18'; expected a run or a file of weights (",
        "--config folder_resnet18": "no file or folder 'pictures'; expected --data.path PATH, ",
        "--data.train-split train[:50]": "got 128; did you mean 16?",
    }.items():
        with pytest.raises(SystemExit):
            main(["train", *line.split()])
        assert error in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert parse(["--config", "transfer_resnet18", "--init.from", "None"]).init.from_ is None


def test_windows_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit):
        main(["models"])
    assert capsys.readouterr().err.startswith("error: Windows is not supported; expected Linux or macOS")
