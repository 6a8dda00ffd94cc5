"""Names in PyTorch's pickles, and their values."""

import time

import pytest

from resnet_jax.weights.readers.pickles import Global, Record
from resnet_jax.weights.readers.torch_pickle import is_allowed, read_contents, storage_id

ALLOWED = """
    torch._utils._rebuild_tensor_v2 torch.FloatStorage torch.cuda.HalfStorage torch.storage.UntypedStorage
    torch.bfloat16 torch.Size torch.device collections.OrderedDict argparse.Namespace __torch__.M.Net
    numpy.dtype numpy.float64 numpy.core.multiarray._reconstruct numpy._core.multiarray.scalar __builtin__.set
    pathlib.PosixPath torch.optim.lr_scheduler.MultiStepLR omegaconf.dictconfig.DictConfig
""".split()
REFUSED = """
    os.system posix.system builtins.eval builtins.getattr builtins.__import__ __main__.Net torch.load torch.hub.load
    torch._utils._import_dotted_name torch.utils.data.DataLoader torch.nn.Linear numpy.load numpy.testing.run_string
    collections.OrderedDict.__init__ subprocess.Popen argparse.Namespace.__init__.__globals__ functools.partial
    operator.attrgetter pickle.loads
""".split()


@pytest.mark.parametrize("name", ALLOWED)
def test_names_of_tensors_and_training_arguments_are_allowed(name):
    assert is_allowed(name)


@pytest.mark.parametrize("name", [*REFUSED, "", "torch.FloatStorage ", "torch.FloatStorage\n"])
def test_other_names_are_not(name):
    assert not is_allowed(name)


def test_a_storage_has_a_type_a_name_and_a_size():
    kind = Global("torch.FloatStorage")
    identifier = storage_id(Record("persistent", (("storage", kind, "7", "cuda:0", 3, ("view", 1, 2)),)))
    assert (identifier.key, identifier.dtype, identifier.length, identifier.view) == ("7", "float32", 3, (1, 2))
    for wrong in ((), ("module", kind, "7", "cpu", 3), ("storage", "FloatStorage", "7", "cpu", 3), "storage"):
        with pytest.raises(ValueError, match="expected a type, a name and a size for each storage"):
            storage_id(Record("persistent", (wrong,)))


def test_a_dict_that_contains_itself_is_refused():
    tree = {"a": {}}
    tree["a"]["b"] = tree
    with pytest.raises(ValueError, match="nested more than 20 deep"):
        read_contents(tree, storage_of=lambda identifier: None)


def test_many_long_names_are_refused_at_once():
    """A pickle of a few kilobytes can have them: its dicts and texts may be used several times."""
    tree = {"x": 1}
    for _ in range(15):
        tree = {letter * 1000: tree for letter in "ab"}
    start = time.process_time()
    with pytest.raises(ValueError, match="it has more than 1,000,000 entries, or 100,000,000 letters in their names"):
        read_contents(tree, storage_of=lambda identifier: None)
    assert time.process_time() - start < 2
