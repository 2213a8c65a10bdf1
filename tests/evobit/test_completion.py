"""Shell completion: what a shell asks the program, and what it is told."""

import os
import subprocess
import sys

import pytest

from evobit import completion


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("evobit train", {"train-supernet"}),
        ("evobit latency-table ", {"build", "show", "export-layers", "import"}),
        ("evobit export network.safetensors --format o", {"onnx", "openvino"}),
        ("evobit search demo.yaml --d", {"--dry-run"}),
        ("evobit cost --space meta", {"metapruning"}),
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


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("da", {"data."}),
        ("data.na", {"data.name="}),
        ("search.scoring.eng", {"search.scoring.engine="}),
        ("search.searcher=ns", {"search.searcher=nsga2"}),
        ("retrain.compile=", {f"retrain.compile={way}" for way in ("auto", "on", "off")}),
        ("retrain.optimiser.bo", {"retrain.optimiser.bop."}),
        ("retrain.tensorboard=", {"retrain.tensorboard=true", "retrain.tensorboard=false"}),
        ("space.name=wide", {"space.name=wide-binary"}),
        ("space.group", {"space.groups="}),
        ("seed", {"seed="}),
        ("seed=", set()),
        ("nothing.of", set()),
    ],
)
def test_fields_of_a_config(typed: str, expected: set[str]) -> None:
    assert set(completion.fields(typed)) == expected


def test_names_of_models_networks_and_spaces() -> None:
    assert completion.zoo_models([], "zoo:fashion-mnist-g") == ["zoo:fashion-mnist-groups"]
    assert completion.zoo_models(["zoo", ":"], "fashion-mnist-g") == ["fashion-mnist-groups"]
    assert completion.networks("reactnet-a") == ["reactnet-a"]
    assert completion.spaces("meta") == ["metapruning"]
