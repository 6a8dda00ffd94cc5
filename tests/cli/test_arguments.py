"""The parser: one line for a mistake, completion of shells."""

import contextlib
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_jax.cli.arguments import make_parser
from resnet_jax.cli.main import main
from resnet_jax.cli.train import parse
from resnet_jax.config import Config, check_types


@pytest.mark.parametrize(
    ("arguments", "message"),
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
def test_a_mistake_is_one_clear_line(capsys, arguments, message):
    with pytest.raises(SystemExit) as exit:
        parse(arguments)
    assert exit.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ") and error.count("\n") == 1


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


WORDS = [
    "",
    "nan",
    "-1",
    "1e400",
    "9" * 5000,
    "None",
    "{",
    "'",
    "\0",
    "\ud800",
    "a\nb",
    "--",
    "-",
    "-x",
    "%s",
    "[red]",
    "│",
]
VALUES = st.sampled_from(WORDS) | st.text(max_size=8)
FLAGS = st.sampled_from([*make_parser(Config, prog="train", description="").options])
ARGUMENTS = st.one_of(
    st.tuples(FLAGS, VALUES),
    st.tuples(st.builds("{}={}".format, FLAGS, VALUES)),
    st.tuples(st.builds("--{}".format, VALUES), VALUES),
    st.tuples(st.builds("{}{}".format, FLAGS, st.text(max_size=3)), VALUES),
    st.tuples(VALUES),
    st.tuples(FLAGS),
)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(st.lists(ARGUMENTS, min_size=1, max_size=2))
def test_any_arguments_are_a_config_or_one_line(arguments):
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            config = parse([argument for pair in arguments for argument in pair])
        with contextlib.suppress(ValueError):  # reported before any work
            check_types(config)
    except SystemExit as exit:
        message = err.getvalue()
        assert exit.code == 2 or "usage" in out.getvalue()
        assert exit.code == 0 or re.fullmatch(r"error: [^\n]{8,}\n", message), message
