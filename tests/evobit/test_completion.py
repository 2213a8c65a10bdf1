"""Shell completion: what a shell asks the program, and what it is told."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("evobit train", {"train-supernet"}),
        ("evobit latency-table ", {"build", "show", "export-layers", "import"}),
        ("evobit export network.safetensors --format o", {"onnx", "openvino"}),
        ("evobit search demo.yaml --d", {"--dry-run"}),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_what_could_be_typed_next(shell: str, typed: str, expected: set[str]) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    asked = {"_EVOBIT_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": typed, **words}
    command = "import sys; from evobit.main import run; sys.exit(run([]))"
    done = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, env={**os.environ, **asked}
    )
    assert done.stderr == ""
    if shell == "bash":
        assert set(done.stdout.split()) == expected
    else:
        assert all(f'"{name}"' in done.stdout for name in expected)


def test_the_script_that_a_shell_reads() -> None:
    # The shell is known by what started the program; `true` keeps bash from becoming the program.
    command = ["bash", "-c", f"{sys.executable} -m evobit --show-completion; true"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "_EVOBIT_COMPLETE=complete_bash" in done.stdout, done.stderr
