"""How commands end: exit codes, one line on stderr, clean stdout."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer
from PIL import Image

from evobit import errors
from evobit.__main__ import main
from evobit.errors import CommandFailed, exit_code
from evobit.main import app, run
from evobit.output import output
from supernet.files import UserError

CHECKOUT = Path(__file__).resolve().parents[2]


def raising(error):
    def command():
        raise error

    return command


def wrapped():
    """A full disk as torch's writer reports it."""
    try:
        raise OSError(errno.ENOSPC, "No space left on device")
    except OSError as error:
        raise RuntimeError("writing file failed") from error


@pytest.mark.parametrize(
    ("command", "code", "expected"),
    [
        (raising(UserError("bad\nfield")), 2, "evobit: bad field"),
        (raising(CommandFailed("it differs")), 1, "evobit: it differs"),
        (raising(OSError(errno.ENOSPC, "No space left", "x.pt")), 1, "no room to write: x.pt: No"),
        (raising(OSError(errno.EFBIG, "File too large")), 1, "no room to write: File too large"),
        (raising(PermissionError(errno.EACCES, "Permission denied", "/x")), 1, "/x: Permission"),
        (wrapped, 1, "no room to write: No space left on device"),
        (raising(KeyboardInterrupt()), 1, "the same command resumes"),
        (lambda: errors.INTERRUPTED, 1, "the same command resumes"),
        (raising(typer.BadParameter("no such thing")), 2, "no such thing"),
        (raising(ModuleNotFoundError("No", name="torch")), 2, "torch is not installed here; pip"),
    ],
)
def test_an_error_is_one_line_and_a_code(capsys, command, code, expected):
    assert exit_code(command) == code
    printed = capsys.readouterr()
    assert expected in printed.err
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""


def test_a_bug_is_one_line_and_its_traceback_is_kept(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(errors.tempfile, "tempdir", str(tmp_path))
    assert exit_code(raising(KeyError("surprise"))) == 1
    line = capsys.readouterr().err
    assert len(line.splitlines()) == 1
    (kept,) = tmp_path.iterdir()
    assert str(kept) in line
    assert "Traceback" in kept.read_text()
    monkeypatch.setenv("EVOBIT_DEBUG", "1")
    assert exit_code(raising(KeyError("surprise"))) == 1
    assert "Traceback" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [kept]


def test_ctrl_c_inside_a_command(capsys, monkeypatch):
    command = typer.Typer()
    command.command()(raising(KeyboardInterrupt()))
    assert exit_code(lambda: command([], standalone_mode=False)) == 1
    assert "the same command resumes" in capsys.readouterr().err


def test_sigterm_ends_a_command_as_ctrl_c_does(capsys, monkeypatch):
    def terminated():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setattr("evobit.__main__.run", lambda arguments: exit_code(terminated))
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ending:
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ending.value.code == 1
    assert "the same command resumes" in capsys.readouterr().err


def test_a_damaged_image_is_told_of_by_one_line_and_no_table(tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "whole.tif")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "whole.tif").read_bytes()[:60])
    words = ["predict", "zoo:fashion-mnist-groups", str(tmp_path / "cut.tif")]
    done = subprocess.run(
        [sys.executable, "-m", "evobit", *words], capture_output=True, text=True, cwd=CHECKOUT
    )
    assert done.returncode == 2 and done.stdout == ""
    kernels, line = done.stderr.splitlines()  # Pillow's own warning would be two more
    assert "kernels" in kernels
    assert line.startswith(f"evobit: {tmp_path / 'cut.tif'}: cannot be decoded")


@pytest.mark.parametrize(
    ("encoding", "ending"), [("ascii", "2>&1"), ("utf-8", ">&-"), ("utf-8", ">&- 2>&-")]
)
def test_a_stream_that_is_closed_or_knows_few_letters(tmp_path, encoding, ending):
    Image.new("L", (4, 4)).save(tmp_path / "\u00fc.png")
    command = f"{sys.executable} -m evobit predict zoo:fashion-mnist-groups {tmp_path} {ending}"
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and "traceback" not in done.stderr + done.stdout
    assert ("?.png" in done.stdout) == (encoding == "ascii")


def test_stray_prints_do_not_reach_stdout(capsys):
    with output(as_json=True) as out:
        print("a worker died")
        out.show({"loss": float("nan"), "run": Path("runs/x"), "top1": 91.5})
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"loss": None, "run": "runs/x", "top1": 91.5}
    assert printed.err == "a worker died\n"


def test_a_file_too_large_for_its_limit_leaves_the_old_one(tmp_path):
    path = tmp_path / "best.json"
    path.write_text("old")
    code = (
        "import resource, sys; from evobit.errors import exit_code\n"
        "from supernet.files import write_text\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "sys.exit(exit_code(lambda: write_text(sys.argv[1], 'x' * 100_000)))"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "evobit: no room to write: File too large\n"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_arguments_show_the_help(capsys):
    assert run([]) == 0
    printed = capsys.readouterr()
    names = [command.name for command in app.registered_commands]
    assert len(names) == len(set(names)) == 19
    assert all(name in printed.out for name in names)


def test_every_command_has_help(capsys):
    for command in app.registered_commands:
        assert run([command.name, "--help"]) == 0
        assert f"evobit {command.name}" in capsys.readouterr().out


def test_help_is_quick():
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "evobit", "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    # 0.15 s on an idle 2-core machine; a busy one must not fail the test.
    assert min(seconds) < 1.0
