import io
import sys

from resnet_jax.weights.sources.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_and_a_file_nothing(monkeypatch):
    for stream, expected in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with Progress("net.pth", 4 * 2**20) as progress:
            for mib in range(5):
                progress.update(mib * 2**20)
        assert (stream.getvalue() == "") is not expected
    lines = Terminal()
    monkeypatch.setattr(sys, "stderr", lines)
    with Progress("net.pth", 4 * 2**20) as progress:
        progress.update(4 * 2**20)
    assert lines.getvalue() == f"\rnet.pth [{'#' * 30}] 4.0 of 4.0 MiB\n"
    with Progress("net.pth", None) as progress:
        progress.update(2**20)
    assert lines.getvalue().endswith("\rnet.pth 1.0 MiB\n")
