"""The real huggingface_hub against a server that answers as the hub does."""

import logging

import pytest

from resnet_jax.errors import DownloadFailed
from resnet_jax.weights.sources.hub import download_repository

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")
FILES = {"model.safetensors": b"weights", "config.json": b"{}", "README.md": b"text"}


def methods(site):
    return [method for method, path, _ in site.requests if "/resolve/" in path]


def test_weights_and_configuration_are_downloaded_once(hub, tmp_path):
    hub.add_repository("org/net", FILES)
    folder = download_repository("org/net", cache_dir=tmp_path, token="hf_secret")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: FILES[name] for name in ("model.safetensors", "config.json")
    }
    tokens = [headers.get("authorization") for _, path, headers in hub.requests if "/resolve/" in path]
    assert tokens == ["Bearer hf_secret"] * 4
    assert methods(hub) == ["HEAD", "GET"] * 2
    assert download_repository("org/net", cache_dir=tmp_path) == folder
    assert methods(hub)[4:] == ["HEAD"]
    assert download_repository("org/net", cache_dir=tmp_path, is_offline=True) == folder


def test_files_are_of_one_commit_and_of_the_revision_that_is_asked_for(hub, tmp_path):
    hub.add_repository("org/net", FILES)
    hub.add_repository("org/net", FILES | {"model.safetensors": b"older"}, revision="v1", commit="f" * 40)
    folder = download_repository("org/net", revision="v1", cache_dir=tmp_path)
    assert folder.name == "f" * 40 and (folder / "model.safetensors").read_bytes() == b"older"
    at = [path.split("/")[4] for _, path, _ in hub.requests if "/resolve/" in path]
    assert at[0] == "v1" and set(at[1:]) <= {"f" * 40, "v1"} and at[-1] == "f" * 40
    with pytest.raises(DownloadFailed, match="^the hub's org/net has no revision 'v2'$"):
        download_repository("org/net", revision="v2", cache_dir=tmp_path)


def test_other_files_of_weights_and_shards(hub, tmp_path):
    hub.add_repository("org/old", {"pytorch_model.bin": b"weights"})
    folder = download_repository("org/old", cache_dir=tmp_path)
    assert [path.name for path in folder.iterdir()] == ["pytorch_model.bin"]
    index = b'{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'
    shards = {"model-1.safetensors": b"1", "model-2.safetensors": b"2"}
    hub.add_repository("org/large", shards | {"model.safetensors.index.json": index})
    folder = download_repository("org/large", cache_dir=tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == [*shards, "model.safetensors.index.json"]
    hub.add_repository("org/cut", {"model.safetensors.index.json": index, "model-1.safetensors": b"1"})
    with pytest.raises(DownloadFailed, match="^org/cut cannot be downloaded: .*model-2.safetensors"):
        download_repository("org/cut", cache_dir=tmp_path)
    hub.add_repository("org/empty", {"README.md": b"text"})
    with pytest.raises(DownloadFailed, match="^the hub's org/empty has no model.safetensors, .* or open_clip_pyt"):
        download_repository("org/empty", cache_dir=tmp_path)


def test_refusals_are_one_line(hub, tmp_path, monkeypatch):
    hub.pages["/org/gated/"] = "GatedRepo"
    for name, message in {
        "org/gated": "org/gated is gated: accept its terms on the hub, and set HF_TOKEN",
        "org/nothing": "the hub has no repository org/nothing, or it is private: set HF_TOKEN",
        "org/a--b": "org/a--b is not a name of a repository: .*",
    }.items():
        with pytest.raises(DownloadFailed, match=f"^{message}$"):
            download_repository(name, cache_dir=tmp_path)


def test_warnings_of_the_hub_are_printed_once(hub, tmp_path, monkeypatch, caplog):
    """By huggingface_hub's own handler; caplog listens at the root logger."""
    logger, download = logging.getLogger("huggingface_hub.utils._http"), huggingface_hub.hf_hub_download

    def download_after_a_warning(*arguments, **options):
        logger.warning("retrying")
        return download(*arguments, **options)

    hub.add_repository("org/net", FILES)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download_after_a_warning)
    assert download_repository("org/net", cache_dir=tmp_path).is_dir()
    assert not caplog.records
    logger.warning("again")
    assert [record.message for record in caplog.records] == ["again"]


def test_without_the_hub_the_cache_is_read(hub, tmp_path, monkeypatch):
    hub.add_repository("org/net", FILES)
    folder = download_repository("org/net", cache_dir=tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    count = len(hub.requests)
    assert download_repository("org/net", cache_dir=tmp_path) == folder
    with pytest.raises(DownloadFailed, match="^org/other is not in the hub's cache, and .*offline"):
        download_repository("org/other", cache_dir=tmp_path)
    with pytest.raises(
        DownloadFailed, match="^org/other is not in the hub's cache, and cannot be downloaded: nothing is"
    ):
        download_repository("org/other", cache_dir=tmp_path, is_offline=True)
    assert len(hub.requests) == count


def test_the_image_processor_of_transformers_is_downloaded(hub, tmp_path):
    files = {"model.safetensors": b"weights", "config.json": b'{"model_type": "resnet"}'}
    hub.add_repository("org/net", files | {"preprocessor_config.json": b"{}"})
    folder = download_repository("org/net", cache_dir=tmp_path)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*files, "preprocessor_config.json"])
    hub.add_repository("org/other", files)
    assert len(list(download_repository("org/other", cache_dir=tmp_path).iterdir())) == 2
