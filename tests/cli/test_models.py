"""resnet-jax models."""

import pytest
from command_line import mistake, output

from resnet_jax.cli.main import main


def test_a_net_is_found_without_its_prefix(capsys):
    for line in ("train --model.name resnet20", "summary resnet20", "models resnet20"):
        with pytest.raises(SystemExit):
            main(line.split())
        assert "'resnet20'; did you mean cifar_resnet20, " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "--model.name", "resnet18.a1_in1k"])
    assert capsys.readouterr().err.endswith("; did you mean resnet18?\n")


def test_nets_are_listed_by_what_they_take(capsys):
    names = [line.split()[0] for line in output(capsys, "models", "tsc*", "--input-kind", "series").splitlines()[1:]]
    assert names == ["tsc_fcn", "tsc_resnet"]
    error = mistake(capsys, "models", "resnet18", "--input-kind", "waveform")
    assert error.startswith("error: no model matches 'resnet18' and takes waveform; ")
    assert "expected any, images, series, waveform" in mistake(capsys, "models", "--input-kind", "sound")


def test_models_and_summary_print_tables(capsys):
    table = output(capsys, "models", "resnet18").splitlines()
    assert table[0].split() == ["parameters", "multiply-adds", "input"]
    assert table[1].split() == ["resnet18", "11,689,512", "1,814,073,344", "224", "x", "224"]
    assert len(table) == 2
    assert output(capsys, "summary", "resnet18").splitlines()[-1].split()[:2] == ["total", "11,689,512"]
    marked = output(capsys, "models", "*resnet50d").splitlines()
    assert [line.split()[0] for line in marked if line.endswith("*")] == ["ecaresnet50d"]
    assert marked[-1] == "* and multiply-adds that published counts do not include: resnet-jax summary NAME"
