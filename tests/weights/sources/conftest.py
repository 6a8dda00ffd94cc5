import pytest
import web_server

from resnet_jax.models import published
from resnet_jax.weights.sources.cache import VARIABLE


@pytest.fixture
def site():
    with web_server.serve() as site:
        yield site


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder of the cache; nothing else of the environment matters."""
    for name in ("HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def publish(monkeypatch):
    """Replaces the table of published weights by rows."""

    def replace(*rows):
        table = {}
        for row in rows:
            table[row.model] = (*table.get(row.model, ()), row)
        monkeypatch.setattr(published, "_table", lambda: table)

    return replace


@pytest.fixture
def hub(site, cache, monkeypatch):
    """The site as the hub. huggingface_hub reads HF_ENDPOINT when it is imported, into these constants."""
    constants = pytest.importorskip("huggingface_hub.constants")
    file_download = pytest.importorskip("huggingface_hub.file_download")
    template = site.address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", site.address)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache / "hub"))
    for module in (constants, file_download):
        monkeypatch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
    return site
