"""ImageNet's label sets."""

import gzip
import importlib.util
from pathlib import Path

import pytest

import resnet_jax
from resnet_jax.models import get_spec
from resnet_jax.models.published import match
from resnet_jax.weights.labels import FLAGS, label_set, labels_of_classes

FILE = Path(resnet_jax.__file__).parent / "weights" / "imagenet.tsv.gz"
CLASSES = {
    "imagenet-1k": 1000,
    "imagenet-12k": 11821,
    "imagenet-21k": 21841,
    "imagenet-21k-goog": 21843,
    "imagenet-21k-miil": 11221,
    "imagenet-21k-w21": 10450,
}


def test_label_sets_have_their_classes_in_the_order_of_synset_ids():
    assert CLASSES.keys() == FLAGS.keys()
    for name, count in CLASSES.items():
        labels = label_set(name)
        assert len(labels) == len(labels.names) == len(labels.synonyms) == count
        assert list(labels.ids) == sorted(set(labels.ids))
        assert all(labels.names)
    assert FILE.stat().st_size < 400_000


def test_published_weights_have_label_sets_of_their_number_of_classes():
    for row in match():
        if row.labels is not None:
            background = get_spec(row.model).family == "detection"  # an output of detectors, and no label
            assert len(label_set(row.labels)) + background == row.classes, row.name


def test_known_classes_of_imagenet_1k():
    labels = label_set("imagenet-1k")
    assert labels.names[:2] == ("tench", "goldfish") and labels.names[-1] == "toilet tissue"
    assert labels.ids[0] == "n01440764" and labels.ids[-1] == "n15075141"
    assert len(set(labels.names)) == 1000
    for i, (name, synset) in enumerate(zip(labels.names, labels.ids, strict=True)):
        assert labels.index(name) == labels.index(synset) == i


@pytest.mark.parametrize(
    ("label", "index"),
    [
        ("Great_White_Shark", 2),
        ("tench, Tinca tinca", 0),
        ("Tinca_tinca", 0),
        ("jack-o-lantern", 607),
        ("N01440764", 0),
        ("Cardigan", 264),
        ("cardigan", 474),
        ("English-springer", 217),
    ],
)
def test_a_class_is_found_by_id_name_or_synonym(label, index):
    assert label_set("imagenet-1k").index(label) == index


@pytest.mark.parametrize(
    ("name", "label", "message"),
    [
        ("imagenet-1k", "goldfsh", "imagenet-1k has no class 'goldfsh'; did you mean goldfish"),
        (
            "imagenet-1k",
            "CARDIGAN",
            "'CARDIGAN' is the name of several classes of imagenet-1k; pass a synset id: n02",
        ),
        ("imagenet-12k", "zzzz", "imagenet-12k has no class 'zzzz'; expected a synset id, as n0"),
    ],
)
def test_unknown_and_ambiguous_names_are_errors(name, label, message):
    with pytest.raises(ValueError, match=message):
        label_set(name).index(label)


def test_folders_are_matched_to_classes():
    labels = label_set("imagenet-1k")
    folders = ["n01443537", "tench", "English_springer", "chain saw"]
    assert labels.match(folders) == {"n01443537": 1, "tench": 0, "English_springer": 217, "chain saw": 491}
    assert labels.match(labels.ids) == {synset: i for i, synset in enumerate(labels.ids)}


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["tench", "goldfsh", "zzzz"], r"no class 'goldfsh'; did you mean .* \(and 1 more folder: zzzz\)$"),
        (
            [f"zzzz{i}" for i in range(9)],
            r"no class 'zzzz0'; .* \(and 8 more folders: zzzz1, zzzz2, zzzz3 and 5 more",
        ),
        (["tench", "n01440764"], "folders 'tench' and 'n01440764' are the same class, n01440764"),
        ([], "expected folders named by the classes of imagenet-1k, got none"),
    ],
)
def test_folders_that_do_not_match_are_one_line(folders, message):
    with pytest.raises(ValueError, match=message) as error:
        label_set("imagenet-1k").match(folders)
    assert "\n" not in str(error.value)


def test_an_unknown_label_set_is_an_error():
    with pytest.raises(ValueError, match="no label set named 'imagenet1k'; did you mean imagenet-1k"):
        label_set("imagenet1k")


@pytest.mark.parity
def test_the_table_is_that_of_the_libraries():
    pytest.importorskip("timm")
    pytest.importorskip("torchvision")
    script = Path(__file__).parents[2] / "docs" / "label_sets.py"
    spec = importlib.util.spec_from_file_location("label_sets", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.text() == gzip.decompress(FILE.read_bytes()).decode()


def test_a_name_of_two_classes_of_the_net_is_not_the_last_ones():
    labels = labels_of_classes(("crane", "ant", "crane"))
    assert labels.match(["ant"]) == {"ant": 1}
    with pytest.raises(ValueError, match=r"'crane' is the name of several classes of the net$"):
        labels.index("crane")
    with pytest.raises(ValueError, match="crane"):
        labels.match(["ant", "crane"])


def test_classes_with_all_their_words_are_a_label_set():
    """As transformers names those of ImageNet."""
    labels = label_set("imagenet-1k")
    words = [synonyms[0] for synonyms in labels.synonyms]
    assert words[0] == "tench, Tinca tinca" and labels_of_classes(words) is labels
    assert labels_of_classes(words[:10]).name == "the net"
