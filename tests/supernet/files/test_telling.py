"""Lines on stderr: what a file holds, or is called, moves no cursor, and is said once."""

import pytest

from supernet.files import telling
from supernet.files.image_view import View
from supernet.files.telling import tell


def test_a_file_that_says_nothing_of_its_view_is_named_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(telling, "_told", set())
    view = [View.taken("\x1b[31mred.evobit", 32, 3) for _ in range(3)][0]
    assert view == View.before(32, 3)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("\\x1b[31mred.evobit: does not say how images are shown to it; ")


def test_lines_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    tell("a\n\x1bb\tc")
    assert capsys.readouterr().err == "a\n\\x1bb\tc\n"
