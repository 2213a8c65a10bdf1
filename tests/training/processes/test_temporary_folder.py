"""Folders for temporary files whose paths are long or odd."""

import tempfile
from pathlib import Path

import pytest

from supernet.files import UserError
from training.compilation import missing_for_compiling
from training.processes import temporary_folder
from training.processes.temporary_folder import MAX_SOCKET_FOLDER, socket_folder

ODD = ["a b", "a'b", 'a"b', "\u00fc", "$HOME", "a;b", "x" * 100]


@pytest.mark.parametrize("name", ODD)
def test_ray_is_given_a_short_and_plain_path(name, tmp_path, monkeypatch):
    (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    assert socket_folder() == Path("/tmp")


def test_where_there_is_none_the_line_names_both(tmp_path, monkeypatch):
    place = tmp_path / ("x" * MAX_SOCKET_FOLDER)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr(temporary_folder.os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match=f"TMPDIR gives '{place}', and /tmp cannot be written"):
        socket_folder()


@pytest.mark.parametrize("name", ODD[:-1])
def test_compilers_are_given_no_path_that_they_misread(name, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    assert missing_for_compiling().startswith("temporary folder (TMPDIR) of a plain path, not ")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/tmp/plain")
    assert missing_for_compiling() is None
