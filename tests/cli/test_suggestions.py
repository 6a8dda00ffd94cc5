"""Unknown options lead to ours."""

import pytest

from resnet_jax.cli import commands, suggestions
from resnet_jax.cli.main import main

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
    "recalibrate --model X": "the run is an argument without a flag",
    "summary --model X": "the net is an argument without a flag",
    "predict --checkpoint 3": "did you mean --step?",
    "eval --csv F": "did you mean --out FILE.csv?",
    "predict --output F": "did you mean --json?",
    "data D --model.name res8": "data is surveyed without a net; see --data.kind",
    "predict --model.name res8": "did you mean --model?",
}


@pytest.mark.parametrize("line", SUGGESTIONS)
def test_suggestions_fit_the_command(line, capsys):
    with pytest.raises(SystemExit):
        main(line.split())
    error = capsys.readouterr().err
    assert SUGGESTIONS[line] in error and error.count("\n") == 1, error


def test_what_no_option_does_gets_a_hint(capsys):
    for other, hint in (("--device", "JAX_PLATFORMS"), ("--num-classes", "the data's"), ("--resume", "same command")):
        with pytest.raises(SystemExit):
            main(["train", other, "0"])
        error = capsys.readouterr().err
        assert error.startswith(f"error: no option {other}; ") and hint in error and error.count("\n") == 1


def test_unknown_options_are_reported_together_and_lead_to_what_works(capsys):
    errors = {
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
    for line, error in errors.items():
        with pytest.raises(SystemExit):
            main(line.split())
        assert capsys.readouterr().err == f"error: {error}\n"


def test_the_commands_of_the_suggestions_are_all_commands():
    assert suggestions.COMMANDS == set(commands.COMMANDS)
