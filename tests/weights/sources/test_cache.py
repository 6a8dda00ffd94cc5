from pathlib import Path
from threading import Thread

from resnet_jax.weights.sources.cache import VARIABLE, cache_folder, is_offline, locked


def test_the_first_setting_is_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    for name in (VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder() == Path("/home/me/.cache/resnet_jax")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder() == Path("/xdg/resnet_jax")
    monkeypatch.setenv(VARIABLE, "~/weights")
    assert cache_folder() == Path("/home/me/weights")
    assert cache_folder(tmp_path) == cache_folder(str(tmp_path)) == tmp_path


def test_offline_is_what_huggingface_hub_takes_for_it(monkeypatch):
    for value, expected in {"1": True, "true": True, "ON": True, "0": False, "": False}.items():
        monkeypatch.setenv("HF_HUB_OFFLINE", value)
        assert is_offline() is expected
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert not is_offline()


def test_a_lock_is_waited_for(tmp_path, capsys):
    order = []

    def second():
        with locked(tmp_path / "net.pth"):
            order.append("second")

    with locked(tmp_path / "net.pth"):
        thread = Thread(target=second)
        thread.start()
        while "waiting for another process, which downloads net.pth" not in capsys.readouterr().err:
            assert thread.is_alive()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
