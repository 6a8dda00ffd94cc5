"""The cache of compiled programs."""

from pathlib import Path

import jax
import pytest

from resnet_jax.runs.loop import compilation


def test_without_a_home_nothing_is_cached_with_a_warning(tmp_path, monkeypatch):
    place = "jax_compilation_cache_dir"
    before, threshold = jax.config.values[place], jax.config.values[compilation.THRESHOLD]
    jax.config.update(place, None)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)

    def nobody(path):
        raise RuntimeError("Could not determine home directory.")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "expanduser", nobody)
        with pytest.warns(UserWarning, match="not cached for the next start: there is no home directory; JAX_COMP"):
            compilation.cache_compilations()
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    with pytest.warns(UserWarning, match="XDG_CACHE_HOME: expected an absolute path, got 'relative'"):
        compilation.cache_compilations()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="not cached for the next start: .*Not a directory"):
        compilation.cache_compilations()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compilation.cache_compilations()
    assert jax.config.values[place] == str(tmp_path / "cache" / "resnet_jax" / "jax")
    assert jax.config.values[compilation.THRESHOLD] == compilation.SHORTEST
    jax.config.update(compilation.THRESHOLD, 2.0)
    monkeypatch.setenv(compilation.THRESHOLD.upper(), "2")
    compilation.cache_compilations()
    assert jax.config.values[compilation.THRESHOLD] == 2.0
    jax.config.update(compilation.THRESHOLD, threshold)
    jax.config.update(place, before)
