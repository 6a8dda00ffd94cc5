"""Trained nets to evaluate: of runs and of weights."""

import jax
import optax
import pytest
import recipe
from hub_folder import write_hub_folder
from safetensors.numpy import save_file

from resnet_jax import Preprocess, TrainState, create_model, save_checkpoint
from resnet_jax.runs.saved.nets import open_net
from resnet_jax.weights.wrappers import FROZEN

OVERRIDES = {"num_classes": 2, "in_channels": 1}


def test_a_run_and_weights_have_a_net_a_task_and_classes(tmp_path):
    variables = write_hub_folder(tmp_path / "hub")
    weights = open_net(str(tmp_path / "hub"))
    assert weights.run is None and weights.classes == weights.task.classes == ("cat", "dog", "owl")
    assert weights.description == f"{tmp_path}/hub (cifar_resnet8)"
    assert jax.tree.structure(weights.net.variables) == jax.tree.structure(variables)
    model = create_model("cifar_resnet8", **OVERRIDES)
    state = TrainState.from_variables(recipe.variables(model), optax.identity(), jax.random.key(0))
    options = {"preprocess": Preprocess(8, 8, (0.5,), (0.25,)), "classes": ("a", "b"), "overrides": OVERRIDES}
    save_checkpoint(tmp_path / "run", state, "cifar_resnet8", **options)
    run = open_net(str(tmp_path / "run"))
    assert run.classes == run.task.classes == ("a", "b") and run.description == f"{tmp_path}/run, step 0"
    with pytest.raises(ValueError, match="--model is for weights, and .*/run is a run"):
        open_net(str(tmp_path / "run"), model="resnet18")
    with pytest.raises(ValueError, match="--step is for runs, and .*/hub is a file of weights"):
        open_net(str(tmp_path / "hub"), step="best")
    (tmp_path / "hub" / "config.json").unlink()
    note = open_net(str(tmp_path / "hub"), model="cifar_resnet8").notes[0]
    assert note.startswith("the preprocessing is not known: ") and note.endswith(", bilinear, is assumed")


def test_what_does_not_exist_has_a_nearest_name(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(FileNotFoundError, match="no run, file or folder '.*/hbu/x'; expected a run or weights"):
        open_net(str(tmp_path / "hbu" / "x"))
    with pytest.raises(FileNotFoundError, match="no run, file or folder '.*/runn'; did you mean .*/run"):
        open_net(str(tmp_path / "runn"))


def test_notes_on_weights_without_those_of_warnings(tmp_path):
    state = recipe.float32_state("resnet18")
    arrays = {f"backbone.body.{key}": x for key, x in state.items() if "num_batches" not in key}
    save_file(arrays | {"rpn.head.weight": state["fc.bias"]}, tmp_path / "x.safetensors")
    with pytest.warns(UserWarning, match="skipped what is not part of the net"):
        net = open_net(str(tmp_path / "x.safetensors"))
    assert net.notes[0] == "names are read without their prefix 'backbone.body.'"
    assert net.notes[1] == FROZEN and net.notes[3].startswith("the names of the classes of ") and len(net.notes) == 4
