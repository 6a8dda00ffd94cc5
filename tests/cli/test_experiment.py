"""`resnet-jax experiment`: mistakes."""

import pytest
from experiment_runs import experiment


@pytest.mark.slow
def test_mistakes_are_reported_before_training(tmp_path, tfds_dir, capsys):
    for options, message in (
        (("degradation", "--depths", "21"), "expected plain nets of 20, 32, 44, 56, 110 layers, got 21"),
        (("transfer", "--depths", "20"), "--depths is not for transfer; --model.name names its net"),
        (("gradients", "--train.seed", "2"), "--train.seed is not for gradients; use --seeds"),
        (("gradients", "--train.steps", "2"), "--train.steps is not for gradients; use --train.epochs"),
        (
            ("gradients", "--model.name", "resnet18"),
            "--model.name is not for gradients; --kinds and --depths name its nets",
        ),
        (("transfer", "--data.per-class", "400"), "class '5': expected 400 of its images"),
        (("gradients", "--draw-only"), "run the experiment first, without --draw-only"),
        (("transfer", "--data.name", "digit"), "no TFDS dataset, file or folder 'digit'; did you mean "),
        (("transfer", "--optim.freeze", "stem"), "--optim.freeze is not for transfer; one of its ways freezes"),
    ):
        with pytest.raises(SystemExit) as exit:
            experiment(options[0], tmp_path / "new", tfds_dir, capsys, *options[1:])
        assert exit.value.code == 2 and message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
