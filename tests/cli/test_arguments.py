"""The parser: one line for a mistake, completion of shells."""

import pytest

from resnet_jax.cli.main import main
from resnet_jax.cli.train import parse


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
