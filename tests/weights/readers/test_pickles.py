"""Pickles as data: nothing is imported or called."""

import pickle
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from corrupted_files import message_for, weights
from hypothesis import given, settings
from hypothesis import strategies as st
from trap_files import STORAGE, state, tensor, text, zipped

from resnet_jax.weights.readers.pickles import Global, Record, load
from resnet_jax.weights.readers.torch_pickle import is_allowed


def loaded(content):
    return load(memoryview(content), 0, is_allowed)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_objects_are_those_that_were_pickled(protocol):
    value = {"a": [1, 2**40, -(2**70), 1.5, None, True, "é\n"], "b": {"c": (1, (2,), ())}}
    value["again"] = value["b"]
    again = loaded(pickle.dumps(value, protocol) + b"more")
    assert again.value == value and again.value["again"] is again.value["b"]
    assert again.end == len(pickle.dumps(value, protocol))


def test_bytes_are_views_of_the_file():
    content = pickle.dumps({"a": bytes(300), "b": bytearray(b"x")}, 5)
    value = loaded(content).value
    assert isinstance(value["a"], memoryview) and bytes(value["a"]) == bytes(300) and bytes(value["b"]) == b"x"


def test_calls_and_states_are_records():
    value = loaded(b"\x80\x02cargparse\nNamespace\n)\x81}X\x02\0\0\0lrK\x03sb.").value
    assert (value.name, value.args, value.state) == ("argparse.Namespace", (), {"lr": 3})
    value = loaded(b"\x80\x02ctorch\nfloat32\n.").value
    assert value == Global("torch.float32")


def call(module, name, argument=b"X\x01\0\0\0x"):
    return b"c" + module + b"\n" + name + b"\n" + argument + b"\x85R"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (call(b"os", b"system"), "it imports os.system"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "it imports os.system"),
        (b"(ios\nsystem\n.", "the opcode INST"),
        (call(b"builtins", b"getattr"), "it imports builtins.getattr"),
        (call(b"builtins", b"eval"), "it imports builtins.eval"),
        (
            b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__init__\x93.",
            "it imports collections.OrderedDict.__init__",
        ),
        (b"ccollections\nOrderedDict\n)R)R.", "calls an object that is not a name"),
        (b"cargparse\nNamespace\n)R)R.", "calls an object that is not a name"),
        (b"cargparse\nNamespace\nK\x01R.", "calls an object that is not a name"),
        (b"]}b.", "gives a state to a list"),
        (b"K\x01}b.", "gives a state to a int"),
        (b"\x82\x01.", "the opcode EXT1"),
        (b"\x84\x01\0\0\0.", "the opcode EXT4"),
        (b"Pname\n.", "the opcode PERSID"),
        (b"\x80\x05\x97.", "the opcode NEXT_BUFFER"),
        (b"}X\x01\0\0\0aK\x01sX\x01\0\0\0aK\x02s.", "it has two entries named 'a'"),
        (b"K\x01K\x02K\x03s.", "puts entries into an object that is not a dict"),
        (b"K\x01K\x02a.", "appends to an object that is not a list"),
        (b"h\x05.", "recalls object 5, which it has not made"),
        (b"t.", "ends a group that it has not begun"),
        (b".", "takes an object from an empty stack"),
        (b"\x80\x04\x95\xff\0\0\0\0\0\0\0}.", "is truncated"),
        (b"}", "pickle exhausted before seeing STOP"),
        (b"\xff.", "opcode"),
        (b"I" + b"1" * 5000 + b"\n.", "Exceeds the limit"),
    ],
)
def test_other_contents_are_refused(content, message, tmp_path, monkeypatch):
    before = set(sys.modules)
    with pytest.raises(ValueError, match=message):
        loaded(content)
    assert not {name for name in set(sys.modules) - before if name in ("os", "posix")}


def test_deep_nesting_and_large_memos_need_no_stack_and_no_memory():
    nested = loaded(b"]" * 100_000 + b"a" * 99_999 + b".").value
    assert len(nested) == 1
    assert loaded(b"}r\xff\xff\xff\x7f.").value == {}


def test_an_old_ordered_dict_has_its_pairs():
    content = b"ccollections\nOrderedDict\n]]X\x01\0\0\0aaK\x01aa\x85R."
    assert loaded(content).value == {"a": 1}
    assert isinstance(loaded(b"cpathlib\nPosixPath\n)R.").value, Record)


@pytest.mark.parametrize("value", [b"ctorch\nBFloat16Storage\n", tensor((2,), (1,)), STORAGE])
def test_a_pickle_cannot_change_its_arguments(tmp_path, value):
    """BUILD hands a dtype or an array a new state: NumPy's own bfloat16 would have other bytes in the whole process."""
    file = tmp_path / "a.pth"
    dtype = b"(K\x03" + text(">") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0t"
    file.write_bytes(state(value + dtype + b"b"))
    assert message_for(file, weights) is not None
    assert np.dtype(jnp.bfloat16).byteorder == "=" and np.asarray(1, jnp.bfloat16).tobytes() == b"\x80\x3f"


MODULES = (
    "os posix subprocess builtins collections torch torch._utils numpy resnet_jax.weights.readers __main__".split()
)
NAMES = (
    "system eval exec getattr OrderedDict OrderedDict.__init__.__globals__ _rebuild_tensor_v2.__globals__ open mkdir"
)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    st.sampled_from(MODULES), st.sampled_from(NAMES.split()) | st.text(max_size=9), st.sampled_from("R b \x81".split())
)
def test_no_other_name_is_given_to_a_pickle(tmp_path_factory, module, name, use):
    file = tmp_path_factory.mktemp("names") / "a.pth"
    called = b"\x8c" + bytes([len(module)]) + module.encode()
    called += text(name) + b"\x93(" + text("here") + b"t" + use.encode("latin-1")
    file.write_bytes(zipped({"x/data.pkl": b"\x80\x04}" + text("a") + called + b"s."}))
    message = message_for(file, weights)
    if (module, name) != ("collections", "OrderedDict"):
        assert "not part of a state dict" in message
