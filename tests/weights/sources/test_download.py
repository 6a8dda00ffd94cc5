"""Downloads from a server on this machine: whole, cut, resumed, changed, wrong, redirected, missing."""

import errno
import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from web_server import Page

from resnet_jax.errors import DownloadFailed, UnreadableWeights
from resnet_jax.weights.sources.download import CHUNK, Progress, download, file_name

BODY = np.random.default_rng(0).bytes(300_000)
DIGEST = hashlib.sha256(BODY).hexdigest()

pytestmark = pytest.mark.usefixtures("cache")


def ranges(site):
    return [headers.get("range") for _, _, headers in site.requests]


def files(folder):
    """Names of the files in a folder, but for locks."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_a_file_is_downloaded_once(site, tmp_path):
    site.pages["/net-0a1b.pth"] = Page(BODY)
    for _ in range(2):
        path = download(f"{site.address}/net-0a1b.pth?key=secret", tmp_path / "new", checksum=DIGEST[:8])
        assert path.read_bytes() == BODY and files(tmp_path / "new") == ["net-0a1b.pth"]
    assert len(site.requests) == 1 and site.requests[0][2]["accept-encoding"] == "identity"


@pytest.mark.parametrize("length", ["length", "chunked"])
def test_a_cut_download_is_resumed(site, tmp_path, length):
    site.pages["/net.pth"] = Page(BODY, cut=100_000)
    with pytest.raises(
        DownloadFailed, match=r"/net.pth\?...: stopped after 100,000 of 300,000 bytes \(.*\); try again"
    ):
        download(f"{site.address}/net.pth?key=secret", tmp_path)
    assert files(tmp_path) == ["net.pth.part", "net.pth.part.json"]
    assert "secret" not in (tmp_path / "net.pth.part.json").read_text()
    site.pages["/net.pth"] = Page(BODY, length=length)
    assert download(f"{site.address}/net.pth?key=secret", tmp_path).read_bytes() == BODY
    assert files(tmp_path) == ["net.pth"] and ranges(site) == [None, "bytes=100000-"]
    assert site.requests[1][2]["if-range"] == '"first"'


def test_a_server_that_nearly_stands_still_is_left_and_resumed(site, tmp_path, monkeypatch):
    monkeypatch.setattr("resnet_jax.weights.sources.download.PERIOD", 0.2)
    site.pages["/net.pth"] = Page(BODY[:500], pause=0.01)
    message = r"/net.pth: stopped after \d+ of 500 bytes \(less than 1,000 bytes in 0.2 s\); try again"
    with pytest.raises(DownloadFailed, match=message):
        download(f"{site.address}/net.pth", tmp_path)
    site.pages["/net.pth"] = Page(BODY[:500])
    assert download(f"{site.address}/net.pth", tmp_path).read_bytes() == BODY[:500]
    assert int(ranges(site)[1].removeprefix("bytes=").removesuffix("-")) > 1


def test_an_answer_of_unknown_length_could_be_cut_and_is_refused(site, tmp_path):
    site.pages["/net.pth"] = Page(BODY, length="chunked", cut=100_000)
    with pytest.raises(DownloadFailed, match=r"/net.pth: stopped after [\d,]+ bytes \(IncompleteRead"):
        download(f"{site.address}/net.pth", tmp_path)
    site.pages["/net.pth"] = Page(BODY, length="")
    with pytest.raises(DownloadFailed, match="/net.pth: the answer has no length, so that a cut one would look whole"):
        download(f"{site.address}/net.pth", tmp_path)


@pytest.mark.parametrize("change", [{"etag": '"second"'}, {"ranges": False}])
def test_a_changed_file_and_a_server_without_ranges_start_over(site, tmp_path, change):
    site.pages["/net.pth"] = Page(bytes(BODY[::-1]), cut=100_000)
    with pytest.raises(DownloadFailed):
        download(f"{site.address}/net.pth", tmp_path)
    site.pages["/net.pth"] = Page(BODY, **change)
    assert download(f"{site.address}/net.pth", tmp_path, checksum=DIGEST[:8]).read_bytes() == BODY
    assert ranges(site) == [None, "bytes=100000-"]


def test_a_file_without_a_strong_validator_is_not_resumed(site, tmp_path):
    for etag in (None, 'W/"weak"'):
        site.pages["/net.pth"] = Page(BODY, etag=etag, cut=100_000)
        with pytest.raises(DownloadFailed):
            download(f"{site.address}/net.pth", tmp_path)
    site.pages["/net.pth"] = Page(BODY, etag=None)
    assert download(f"{site.address}/net.pth", tmp_path).read_bytes() == BODY
    assert ranges(site) == [None, None, None]


def test_a_complete_part_and_a_longer_one_start_over(site, tmp_path):
    site.pages["/net.pth"] = Page(BODY, cut=100_000)
    with pytest.raises(DownloadFailed):
        download(f"{site.address}/net.pth", tmp_path)
    (tmp_path / "net.pth.part").write_bytes(BODY + b"more")
    site.pages["/net.pth"] = Page(b"", status=416)
    with pytest.raises(DownloadFailed, match="416"):
        download(f"{site.address}/net.pth", tmp_path)
    assert ranges(site) == [None, "bytes=300004-", None]


def test_a_wrong_checksum_removes_the_file(site, tmp_path):
    site.pages["/net-12345678.pth"] = Page(BODY)
    message = f"net-12345678.pth is removed: expected a SHA-256 that begins with 12345678, got {DIGEST[:8]}"
    with pytest.raises(UnreadableWeights, match=f"^{message}$"):
        download(f"{site.address}/net-12345678.pth", tmp_path, checksum="12345678")
    assert files(tmp_path) == []
    (tmp_path / "net-12345678.pth").write_bytes(BODY)  # that of a cache, which something changed
    with pytest.raises(UnreadableWeights, match=message):
        download(f"{site.address}/net-12345678.pth", tmp_path, checksum="12345678")
    assert files(tmp_path) == []


def test_links_out_of_the_folder_are_refused(site, tmp_path):
    folder, other = tmp_path / "cache", tmp_path / "other"
    folder.mkdir()
    other.write_bytes(b"mine")
    site.pages["/net.pth"] = Page(BODY)
    (folder / "net.pth").symlink_to(other)
    with pytest.raises(ValueError, match="net.pth leads out of"):
        download(f"{site.address}/net.pth", folder)
    (folder / "net.pth").rename(folder / "net.pth.part")
    with pytest.raises(DownloadFailed, match="cannot be written"):
        download(f"{site.address}/net.pth", folder)
    assert other.read_bytes() == b"mine"


def test_a_full_disk_and_a_folder_that_cannot_be_written(site, tmp_path, monkeypatch):
    site.pages["/net.pth"] = Page(BODY)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
        with pytest.raises(DownloadFailed, match="expected 300,000 free bytes in .*, got 1,000"):
            download(f"{site.address}/net.pth", tmp_path)

    def fail(self, done):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "update", fail)
        with pytest.raises(DownloadFailed, match="net.pth cannot be written: No space left on device"):
            download(f"{site.address}/net.pth", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(DownloadFailed, match="cannot be written"):
        download(f"{site.address}/net.pth", tmp_path / "file")


def test_a_published_file_may_be_copied_into_the_cache(site, tmp_path):
    with pytest.raises(DownloadFailed, match=f"no such file; a copy from another machine belongs in '{tmp_path}'$"):
        download(f"{site.address}/none.pth", tmp_path, checksum="12345678")
    with pytest.raises(DownloadFailed, match="no such file$"):
        download(f"{site.address}/none.pth", tmp_path)


def test_offline_the_cache_alone_is_read(site, tmp_path):
    site.pages["/net.pth"] = Page(BODY)
    with pytest.raises(DownloadFailed, match="net.pth is not in .*, and nothing is downloaded offline"):
        download(f"{site.address}/net.pth", tmp_path / "new", is_offline=True)
    assert not (tmp_path / "new").exists() and not site.requests
    download(f"{site.address}/net.pth", tmp_path)
    assert download(f"{site.address}/net.pth", tmp_path, is_offline=True).read_bytes() == BODY


def test_downloads_at_once_are_one(site, tmp_path):
    site.pages["/net.pth"] = Page(BODY * 20)
    with ThreadPoolExecutor() as threads:
        paths = list(threads.map(lambda _: download(f"{site.address}/net.pth", tmp_path), range(4)))
    assert len(site.requests) == 1 and len(set(paths)) == 1 and paths[0].stat().st_size == len(BODY) * 20


def test_an_interrupt_leaves_a_part_that_is_resumed(site, tmp_path, monkeypatch):
    site.pages["/net.pth"] = Page(BODY * 10)

    def interrupt(self, done):
        if done:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "update", interrupt)
        with pytest.raises(KeyboardInterrupt):
            download(f"{site.address}/net.pth", tmp_path)
    assert files(tmp_path) == ["net.pth.part", "net.pth.part.json"]
    assert download(f"{site.address}/net.pth", tmp_path).read_bytes() == BODY * 10
    assert 0 < int(ranges(site)[1].removeprefix("bytes=").removesuffix("-")) <= CHUNK


def test_names_of_files_are_safe():
    names = {
        "https://a.org/models/resnet50-11ad3fa6.pth?download=true": "resnet50-11ad3fa6.pth",
        "https://a.org/": "weights",
        "https://a.org/%2e%2e%2fetc%2fpasswd": "passwd",
        "https://a.org/..": "weights",
        "https://a.org/a%20b%00c.pth": "a_b_c.pth",
        f"https://a.org/{'x' * 300}.pth": "x" * 146 + ".pth",
    }
    assert {url: file_name(url) for url in names} == names
