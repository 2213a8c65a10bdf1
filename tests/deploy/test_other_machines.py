"""The portable kernels compiled by hand: on this machine, and for aarch64 under qemu."""

import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from deploy import kernels
from deploy.engine.program import Program
from deploy.lowering.network import lower
from deploy.plan.parameters import operation_parameters
from deploy.plan.preprocessing import Preprocessing
from tests.deploy.networks import FORMS, random_network
from tests.deploy.program_image import program_image

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parents[1] / "deploy" / "native"
FLAGS = ["-std=c++17", "-O2", "-ffp-contract=off", "-pthread", "-static"]
COUNT = 5

needs_native = pytest.mark.skipif(
    kernels.backend_info()["backend"] != "native", reason="the compiled kernels are not installed"
)


def logits_here_and_there(compiler: str, runner: list[str], tmp_path: Path) -> None:
    """Run every form of network by the compiled harness and by Python; the bits must be equal."""
    sources = [str(HERE / "run_image.cpp"), *map(str, sorted(NATIVE.glob("*.cpp")))]
    harness = str(tmp_path / "run_image")
    subprocess.run([compiler, *FLAGS, *sources, "-o", harness], check=True)
    before = kernels.backend_info()["isa"]
    for number, form in enumerate(FORMS):
        network = random_network(FORMS[form], groups=(1, 2, 4, 8, 16)[number % 5])
        plan, parameters = lower(network)
        preprocessing = Preprocessing((0.4,) * plan.channels, (0.3,) * plan.channels)
        kernels.select_isa("portable")
        try:
            program = Program(plan, operation_parameters(plan, parameters), preprocessing, 2)
            shape = (COUNT, plan.channels, plan.size, plan.size)
            pixels = np.random.default_rng(number).integers(0, 256, shape, np.uint8)
            (tmp_path / "image").write_bytes(program_image(program))
            (tmp_path / "pixels").write_bytes(pixels.tobytes())
            expected = program.run(pixels)
        finally:
            kernels.select_isa(before)
        files = [str(tmp_path / name) for name in ("image", "pixels")]
        command = [*runner, harness, *files, str(COUNT), str(tmp_path / "logits")]
        subprocess.run(command, check=True)
        found = np.fromfile(tmp_path / "logits", np.float32).reshape(expected.shape)
        np.testing.assert_array_equal(found, expected, err_msg=form)


@pytest.mark.slow
@needs_native
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++")
def test_a_plain_compiler_gives_the_same_logits(tmp_path):
    logits_here_and_there("g++", [], tmp_path)


@pytest.mark.long
@needs_native
@pytest.mark.skipif(platform.machine() == "aarch64", reason="this is no other machine")
def test_aarch64_gives_the_same_logits(tmp_path):
    compiler, emulator = shutil.which("aarch64-linux-gnu-g++"), shutil.which("qemu-aarch64")
    if compiler is None or emulator is None:
        pytest.skip("needs g++-aarch64-linux-gnu and qemu-user")
    logits_here_and_there(compiler, [emulator], tmp_path)
