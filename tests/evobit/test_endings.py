"""How commands end: exit codes, one line on stderr, clean stdout."""

import errno
import json
import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
import typer
from PIL import Image

from evobit import errors
from evobit.errors import CommandFailed, exit_code
from evobit.main import app, run
from evobit.output import allowing, output, say_next, shared
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


def test_sigterm_ends_a_command_as_ctrl_c_does():
    lines = (
        "import os, signal, time",
        "from evobit import __main__ as program, errors, main",
        "def terminated():",
        "    os.kill(os.getpid(), signal.SIGTERM)",
        "    time.sleep(10)",
        "main.run = lambda arguments: errors.exit_code(terminated)",
        "program.main()",
    )
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, cwd=CHECKOUT
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == f"evobit: {errors.RESUMES}\n"


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
    assert len(names) == len(set(names)) == 20
    assert all(name in printed.out for name in names)


def test_every_command_has_help(capsys):
    for command in app.registered_commands:
        assert run([command.name, "--help"]) == 0
        assert f"evobit {command.name}" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["latency-table"]])
def test_the_summaries_in_help_fit(capsys, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    assert run([*words, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    # "[ARGS]..." stands in the first line.
    assert not [line for line in lines[1:] if line.endswith("...")]


def test_help_lists_the_pipeline_in_its_order(capsys):
    assert run(["--help"]) == 0
    _, _, listed = capsys.readouterr().out.partition("The pipeline:\n")
    pipeline, *others = [part.splitlines() for part in listed.split("\n\n")]
    names = [line.split()[0] for line in pipeline]
    stages = ["train-supernet", "search", "finals", "export", "retrain", "report", "pack"]
    assert [name for name in names if name in stages] == stages
    assert [part[0] for part in others] == [
        "Packed models:",
        "Looking at runs:",
        "Data and devices:",
    ]
    below = [line.split()[0] for part in others for line in part[1:]]
    known = {command.name for command in app.registered_commands} | {"latency-table"}
    assert len(names + below) == len(known) and set(names + below) == known


def test_the_version_is_the_packages(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"evobit {version('evobit')}\n"


def test_a_table_counts_what_only_json_holds(capsys):
    networks = [{"name": "a"}, {"name": "b"}]
    document = {"networks": networks, "one": networks[:1], "counts": {"a": 1}, "top1": [91.5, 90]}
    with output(as_json=False) as out:
        out.show(document, only_json=("counts",))
    rows = [
        [word.strip() for word in line.split("│")[1:3]]
        for line in capsys.readouterr().out.splitlines()
        if "│" in line
    ]
    assert rows == [["networks", "2 entries"], ["one", "1 entry"], ["top1", "91.5, 90"]]
    with output(as_json=True) as out:
        out.show(document, only_json=("counts",))
    assert json.loads(capsys.readouterr().out) == document


def test_the_next_command_is_as_it_can_be_typed(capsys):
    overrides = ["data.root=my photos", "supernet.epochs=3", "space.classes=2", "seed=1"]
    words = ["search", Path("my photos.yaml"), *shared(overrides), *allowing("s.py:Mine")]
    say_next(words, ["report", Path("runs/x"), *allowing("mobilenet-groups")])
    assert capsys.readouterr().err == (
        "evobit: next: evobit search 'my photos.yaml' --set 'data.root=my photos' "
        "--set space.classes=2 --set seed=1 --allow s.py:Mine; evobit report runs/x\n"
    )


def test_help_is_quick():
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "evobit", "--help"], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    # 0.15 s on an idle 2-core machine; a busy one must not fail the test.
    assert min(seconds) < 1.0
