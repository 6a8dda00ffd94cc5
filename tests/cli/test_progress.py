import re

from resnet_jax.cli import progress


def test_a_terminal_has_one_line_and_a_log_one_now_and_then(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    for is_terminal, expected in ((True, r"\r20 of 40 images read, 20 a second\x1b\[K\r\x1b\[K"), (False, "")):
        monkeypatch.setattr(progress.sys.stderr, "isatty", lambda is_terminal=is_terminal: is_terminal)
        now[0] = 0.0
        report = progress.progress_printer("images")
        for seconds, done in ((0.1, 10), (1.0, 20), (1.1, 30), (1.2, 40)):
            now[0] = seconds
            report(done, 40)
        assert re.fullmatch(expected, capsys.readouterr().err)
    now[0] = 100.0
    report(30, 40)
    assert capsys.readouterr().err == "30 of 40 images read, 0 a second\n"
