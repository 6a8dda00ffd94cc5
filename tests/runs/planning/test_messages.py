"""Lines that a run prints."""

from resnet_jax.runs.planning import messages


def test_next_commands_install_what_they_need(monkeypatch):
    monkeypatch.setattr(messages, "is_installed", lambda package: False)
    assert messages.next_commands("my run", "latest") == (
        "resnet-jax predict 'my run' IMAGE, resnet-jax eval 'my run', "
        "resnet-jax plot 'my run' (after pip install 'flax-resnets[plots]')"
    )
    monkeypatch.setattr(messages, "is_installed", lambda package: True)
    assert messages.next_commands("a", "latest", "sound").startswith("resnet-jax predict a SOUND, ")
    assert messages.next_commands("a", "latest", pairs=True).startswith(
        "resnet-jax retrieve a FOLDER TEXT, resnet-jax eval"
    )
    assert messages.next_commands("a", "best").endswith("resnet-jax eval a --step best, resnet-jax plot a")
