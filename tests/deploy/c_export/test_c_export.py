"""The exported C program: compiled strictly, it gives the portable engine's logits bit for bit."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deploy import packed_file
from deploy.c_export import arena, export_c, model_source
from deploy.c_export.arena import Arena
from deploy.c_export.literals import bit_array, float_literal, identifier, text_literal
from deploy.engine.packed_network import PackedNetwork
from deploy.kernels import library
from deploy.lowering.network import pack
from deploy.plan.parameters import operation_parameters
from deploy.plan.plan import Activation, Kind, Operation, Plan
from deploy.plan.preprocessing import Preprocessing
from supernet.files import UserError
from supernet.networks import network_spec
from tests.deploy.lowering.test_published_networks import settled
from tests.deploy.networks import FORMS, random_network
from tests.deploy.random_plans import MEAN, STD, random_images, random_parameters, random_plan
from training.data.config import DataConfig
from training.data.fashion_mnist import read_mini

CC = shutil.which(os.environ.get("CC", "cc"))
CXX = shutil.which(os.environ.get("CXX", "c++"))
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-ffp-contract=off")
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
VARIANTS = {
    "plain": ("-O2",),
    "32-bit words": ("-O1", "-DEVOBIT_WORD_BITS=32"),
    "no builtin": ("-O1", "-DEVOBIT_PORTABLE_POPCOUNT"),
    "no builtin, 32-bit words": ("-DEVOBIT_PORTABLE_POPCOUNT", "-DEVOBIT_WORD_BITS=32"),
    "sanitized": ("-O1", *SANITIZED),
    "sanitized, 32-bit words": ("-O1", "-DEVOBIT_WORD_BITS=32", *SANITIZED),
}
SEEDS = range(10)

needs_compiler = pytest.mark.skipif(CC is None, reason="no C compiler")
needs_native = pytest.mark.skipif(
    library.backend_info()["backend"] != "native", reason="the compiled kernels are not installed"
)

TINY = Plan(
    2,
    6,
    (
        Operation("stem", "conv", 0, 12, 3, 1, 1, activation="rprelu"),
        Operation("groups", "binary_conv", 1, 24, 3, 1, 1, 3, add=1, thresholds=True, pad_value=-1),
        Operation("short", "avg_pool", 2, 24, 2, 2),
        Operation("down", "binary_conv", 2, 40, 3, 2, 1, add=3, activation="prelu", pad_value=1),
        Operation("pool", "global_avg_pool", 4, 40),
        Operation("linear", "linear", 5, 5),
    ),
)


def drawn(plan: Plan, seed: int = 0) -> PackedNetwork:
    """A network of a plan with drawn numbers."""
    parameters = random_parameters(plan, np.random.default_rng(seed))
    return PackedNetwork(
        plan, parameters, Preprocessing(MEAN[: plan.channels], STD[: plan.channels])
    )


def compiled(folder: Path, *flags: str) -> Path:
    """The exported program, warnings being errors."""
    assert CC is not None
    sources = [str(folder / name) for name in ("main.c", "model.c", "evobit_kernels.c")]
    program = folder / "classify"
    subprocess.run([CC, "-std=c99", *STRICT, *sources, "-o", str(program), *flags], check=True)
    return program


def by_c(program: Path, images: np.ndarray) -> np.ndarray:
    """Logits that the program prints of raw images, (N, classes); its classes are their best."""
    raw = program.parent / "images.raw"
    raw.write_bytes(images.tobytes())
    done = subprocess.run([program, raw], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    logits = np.array([[float(word) for word in row[4:]] for row in rows], np.float32)
    assert [int(row[1]) for row in rows] == list(range(len(images)))
    assert [int(row[2]) for row in rows] == logits.argmax(axis=1).tolist()
    return logits


def by_portable_engine(make: Callable[[], PackedNetwork], images: np.ndarray) -> np.ndarray:
    """Logits of the engine's plain C++ kernels."""
    before = library.backend_info()["isa"]
    assert before is not None
    library.select_isa("portable")
    try:
        return make()(images)
    finally:
        library.select_isa(before)


def assert_same_bits(make: Callable[[], PackedNetwork], images: np.ndarray, folder: Path) -> None:
    export_c(make(), folder)
    np.testing.assert_array_equal(
        by_c(compiled(folder, "-O2"), images), by_portable_engine(make, images)
    )


def fashion_images(count: int) -> np.ndarray:
    """uint8 (count, 1, 32, 32) of the embedded training images."""
    part = read_mini(DataConfig(name="fashion-mnist-mini", image_size=32), "train")
    return part.read(torch.arange(count))[0].numpy()


@needs_compiler
@needs_native
def test_the_zoo_model_gives_the_engines_logits_and_its_classes(tmp_path):
    images = fashion_images(200)
    paths = export_c("zoo:fashion-mnist-groups", tmp_path)
    assert sorted(path.name for path in paths) == sorted(path.name for path in tmp_path.iterdir())
    logits = by_c(compiled(tmp_path, "-O2"), images)

    def make() -> PackedNetwork:
        return packed_file.load("zoo:fashion-mnist-groups")

    np.testing.assert_array_equal(logits, by_portable_engine(make, images))
    selected = make()(images)  # the best instruction set: fused products, other orders
    assert (logits.argmax(1) == selected.argmax(1)).all()
    assert np.abs(logits - selected).max() <= 1e-5 * np.abs(selected).max()


def test_the_zoo_models_sizes_and_hash(tmp_path):
    path = packed_file.find_model("zoo:fashion-mnist-groups")
    export_c(path, tmp_path)
    header = (tmp_path / "model.h").read_text()
    network = packed_file.load(path)
    # One bit a weight and 4 bytes a real; scale and shift of the one input channel are 2 more.
    num_bytes = network.parameters.bits.nbytes + network.parameters.reals.nbytes + 2 * 4
    assert f"EVOBIT_FASHION_MNIST_GROUPS_WEIGHT_BYTES {num_bytes} " in header
    # At most two maps: 16 x 16 x 16 floats, and the 16 x 16 x 8 that are added to them.
    assert f"_ARENA_BYTES {4 * 16 * 16 * (16 + 8) + 768} " in header
    digest = packed_file.model_hash(network)
    assert digest.encode() in path.read_bytes()
    for name in ("model.h", "model.c", "README.md"):
        assert digest in (tmp_path / name).read_text()
    for name in ("model.h", "model.c", "evobit_kernels.h", "evobit_kernels.c", "main.c"):
        assert "SPDX-License-Identifier: Apache-2.0" in (tmp_path / name).read_text()


@needs_compiler
@needs_native
@pytest.mark.parametrize("seed", SEEDS)
def test_drawn_plans_give_the_engines_logits(seed, tmp_path):
    rng = np.random.default_rng(seed)
    plan = random_plan(rng)
    assert_same_bits(lambda: drawn(plan, seed), random_images(plan, 5, rng), tmp_path)


def test_drawn_plans_hold_everything_that_a_plan_may():
    plans = [random_plan(np.random.default_rng(seed)) for seed in SEEDS]
    operations = [operation for plan in plans for operation in plan.operations]
    binary = [operation for operation in operations if operation.kind == "binary_conv"]
    assert {operation.kind for operation in operations} == set(get_args(Kind))
    assert {operation.activation for operation in operations} == set(get_args(Activation))
    padded = {op.pad_value for op in binary if op.padding and op.kernel_size > 1}
    assert padded == {-1, 0, 1}
    assert {(op.thresholds, op.add is None) for op in binary} == {
        (a, b) for a in (False, True) for b in (False, True)
    }
    assert max(op.groups for op in binary) > 1 and max(op.stride for op in binary) == 2
    assert any(op.kind == "conv" and op.groups > 1 for op in operations)


@needs_compiler
@needs_native
@pytest.mark.parametrize("form", ["conv, rprelu", "colour", "odd sides"])
def test_networks_of_the_group_space_give_the_engines_logits(form, tmp_path):
    network = random_network(FORMS[form])
    channels, size = network.spec.in_channels, network.spec.image_size
    images = np.resize(fashion_images(6), (6, channels, size, size))
    assert_same_bits(lambda: pack(network, MEAN[:channels], STD[:channels], ()), images, tmp_path)


@needs_compiler
@needs_native
@pytest.mark.parametrize("name", ["reactnet-b", "react-resnet-18", "bireal-50"])
def test_published_networks_give_the_engines_logits(name, tmp_path):
    """RSign and real doubling; real shortcuts; a bottleneck's narrow stream."""
    network = settled(network_spec(name, classes=10, image_size=32, width=0.125))
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), np.uint8)
    assert_same_bits(lambda: pack(network, MEAN[:3], STD[:3], ()), images, tmp_path)


@needs_compiler
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_way_of_compiling_gives_the_same_bits(variant, tmp_path):
    images = random_images(TINY, 3, np.random.default_rng(1))
    export_c(drawn(TINY), tmp_path)
    expected = by_c(compiled(tmp_path, "-O2"), images)
    try:
        program = compiled(tmp_path, *VARIANTS[variant])
    except subprocess.CalledProcessError:
        if variant.startswith("sanitized") and not links(tmp_path, *SANITIZED):
            pytest.skip("the compiler has no sanitizers")
        raise
    np.testing.assert_array_equal(by_c(program, images), expected)


def links(folder: Path, *flags: str) -> bool:
    """Whether the compiler makes a program with these flags at all."""
    assert CC is not None
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    command = [CC, *flags, str(folder / "empty.c"), "-o", str(folder / "empty")]
    return subprocess.run(command, capture_output=True).returncode == 0


@needs_compiler
def test_a_fused_multiply_add_differs_by_rounding_alone(tmp_path):
    images = random_images(TINY, 3, np.random.default_rng(1))
    export_c(drawn(TINY), tmp_path)
    expected = by_c(compiled(tmp_path), images)
    found = by_c(compiled(tmp_path, "-DEVOBIT_FMAF", "-lm"), images)
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@needs_compiler
@pytest.mark.skipif(CXX is None, reason="no C++ compiler")
def test_the_sources_are_cpp20_as_well(tmp_path):
    export_c(drawn(TINY), tmp_path)
    images = random_images(TINY, 2, np.random.default_rng(1))
    expected = by_c(compiled(tmp_path), images)
    # What an initialiser leaves out is zero, as in C.
    flags = ["-x", "c++", "-std=c++20", *STRICT, "-Wno-missing-field-initializers"]
    sources = [str(tmp_path / name) for name in ("main.c", "model.c", "evobit_kernels.c")]
    program = tmp_path / "by_cpp"
    subprocess.run([CXX, *flags, *sources, "-o", str(program)], check=True)
    np.testing.assert_array_equal(by_c(program, images), expected)


@needs_compiler
@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_make_builds_the_program(tmp_path):
    export_c(drawn(TINY), tmp_path)
    assert CC is not None
    subprocess.run(["make", "-s", f"CC={CC}"], cwd=tmp_path, check=True)
    assert by_c(tmp_path / "classify", random_images(TINY, 2, np.random.default_rng(1))).shape == (
        2,
        5,
    )


@needs_compiler
def test_pgm_and_ppm_files_are_read(tmp_path):
    rng = np.random.default_rng(0)
    for channels, magic, suffix in ((1, "P5", "pgm"), (3, "P6", "ppm")):
        plan = Plan(channels, 5, (Operation("all", "conv", 0, 4, 5),))
        images = random_images(plan, 1, rng)
        folder = tmp_path / suffix
        export_c(drawn(plan), folder)
        program = compiled(folder)
        picture = folder / f"picture.{suffix}"
        pixels = images[0].transpose(1, 2, 0).tobytes()
        picture.write_bytes(f"{magic}\n# a comment 9 9\n5 5\n255\n".encode() + pixels)
        done = subprocess.run([program, picture], capture_output=True, text=True, check=True)
        logits = np.array(done.stdout.split()[4:], np.float32)
        np.testing.assert_array_equal(logits, by_c(program, images)[0])


@needs_compiler
def test_images_that_do_not_fit_are_refused(tmp_path):
    export_c(drawn(Plan(1, 5, (Operation("all", "conv", 0, 4, 5),))), tmp_path)
    program = compiled(tmp_path)
    wrong = {
        "large.pgm": (b"P5 6 5 255\n" + bytes(30), "6 x 5 pixels up to 255, expected 5 x 5"),
        "short.pgm": (b"P5 5 5 255\n" + bytes(24), "is cut off"),
        "colour.ppm": (b"P6 5 5 255\n" + bytes(75), "is no binary PGM (P5)"),
        "empty.pgm": (b"", "is no binary PGM (P5)"),
        "word.pgm": (b"P5 five", "-1 x -1 pixels"),
        "half.raw": (bytes(26), "is no whole number of images"),
    }
    for name, (content, message) in wrong.items():
        (tmp_path / name).write_bytes(content)
        done = subprocess.run([program, tmp_path / name], capture_output=True, text=True)
        assert done.returncode == 2 and message in done.stderr, name
    done = subprocess.run([program, tmp_path / "absent"], capture_output=True, text=True)
    assert done.returncode == 2 and "cannot be opened" in done.stderr
    assert subprocess.run([program], capture_output=True).returncode == 2


@needs_compiler
def test_names_from_a_file_are_no_code(tmp_path):
    operation = Operation('*/\nint\tx["\\', "conv", 0, 3, 4)
    plan = Plan(1, 4, (operation,))
    names = ('"); exit(7); ("', "new\nline ??/ \\", "Größe %s")
    own = random_parameters(plan, np.random.default_rng(0))
    network = PackedNetwork(plan, own, Preprocessing((0.5,), (0.5,)), names)
    export_c(network, tmp_path, name="../A b%s é")
    assert "void evobit_a_b_s_run(" in (tmp_path / "model.h").read_text()
    program = compiled(tmp_path)
    (tmp_path / "one.raw").write_bytes(bytes(16))
    done = subprocess.run([program, tmp_path / "one.raw"], capture_output=True, check=True)
    best = int(network(np.zeros((1, 4, 4), np.uint8)).argmax())
    assert f"\t{best}\t{names[best]}\t".encode() in done.stdout
    for i, name in enumerate(names):
        found = compiled_text(text_literal(name), tmp_path / f"text{i}")
        assert found == name.encode()
    with pytest.raises(UserError, match="expected letters or digits"):
        export_c(network, tmp_path, name="é")


def compiled_text(literal: str, path: Path) -> bytes:
    """What a C compiler makes of a string constant."""
    assert CC is not None
    code = f"#include <stdio.h>\nint main(void) {{ fputs({literal}, stdout); return 0; }}\n"
    path.with_suffix(".c").write_text(code)
    command = [CC, "-std=c99", *STRICT, str(path.with_suffix(".c")), "-o", str(path)]
    subprocess.run(command, check=True)
    return subprocess.run([path], capture_output=True, check=True).stdout


def test_the_same_network_gives_the_same_bytes_and_no_path(tmp_path):
    first = export_c(drawn(TINY), tmp_path / "first")
    packed_file.save(tmp_path / "model.evobit", named(drawn(TINY)))
    second = export_c(named(drawn(TINY)), tmp_path / "second")
    from_file = export_c(tmp_path / "model.evobit", tmp_path / "third")
    assert [path.read_bytes() for path in second] == [path.read_bytes() for path in from_file]
    again = export_c(drawn(TINY), tmp_path / "first")
    assert [path.read_bytes() for path in first] == [
        path.read_bytes() for path in export_c(drawn(TINY), tmp_path / "fourth")
    ]
    assert again == first
    for path in from_file:
        assert str(tmp_path).encode() not in path.read_bytes()
        assert b"@name@" not in path.read_bytes() and b"@NAME@" not in path.read_bytes()


def named(network: PackedNetwork) -> PackedNetwork:
    names = [f"class {i}" for i in range(network.plan.num_classes)]
    return PackedNetwork(network.plan, network.parameters, network.preprocessing, names)


def test_a_sum_takes_the_place_of_what_is_added():
    operations = (
        Operation("stem", "conv", 0, 32, 3, 1, 1),
        Operation("one", "binary_conv", 1, 32, 3, 1, 1, add=1),
        Operation("two", "binary_conv", 2, 32, 3, 1, 1, add=2),
        Operation("pool", "global_avg_pool", 3, 32),
    )
    plan = Plan(1, 8, operations)
    maps = Arena(plan, own_parameters(plan))
    # The stem reads 8 x 8 and writes 8 x 8 x 32, in whose place each sum is written.
    assert maps.num_floats == 8 * 8 + 8 * 8 * 32
    # Signs of two maps: those that are read, and those of the sum.
    assert maps.num_pairs == 2 * 8 * 8 * 32 // 64
    read_later = (*operations[:3], Operation("four", "conv", 1, 32, add=3), *operations[3:])
    again = Plan(1, 8, (*read_later[:4], Operation("pool", "global_avg_pool", 4, 32)))
    # The stem's map is kept beside the sum; at the end the sum's place is the result's as well.
    assert Arena(again, own_parameters(again)).num_floats == 2 * 8 * 8 * 32


def own_parameters(plan: Plan) -> list[dict[str, np.ndarray]]:
    return operation_parameters(plan, random_parameters(plan, np.random.default_rng(0)))


def test_what_32_bit_offsets_do_not_reach_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(model_source, "MAX_WEIGHTS", 12 * 2 * 3 * 3 - 1)
    with pytest.raises(UserError, match="stem: its weight are more than 215"):
        export_c(drawn(TINY), tmp_path)
    monkeypatch.setattr(model_source, "MAX_WEIGHTS", 1 << 30)
    monkeypatch.setattr(arena, "MAX_ARENA_BYTES", 1000)
    with pytest.raises(UserError, match=r"the network's maps need [\d,]+ bytes, more than 1,000"):
        export_c(drawn(TINY), tmp_path)
    with pytest.raises(UserError, match="the zoo has no such model"):
        export_c("zoo:nothing", tmp_path)
    assert list(tmp_path.iterdir()) == []


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_literal_is_exact(value):
    literal = float_literal(value)
    assert literal.endswith("f") and float.fromhex(literal[:-1]) == value


def test_literals():
    assert float_literal(0.15625) == "0x1.4p-3f"  # 1.25 / 8
    assert [float_literal(x) for x in (0.0, -1.0, 16.0)] == ["0x0p+0f", "-0x1p+0f", "0x1p+4f"]
    stream = np.array([1, 0, 0, 0, 2], np.uint8)
    words = "EVOBIT_PAIR(0x00000001u, 0x00000002u)"
    assert bit_array("bits", stream) == f"static const evobit_word bits[] = {{\n    {words}\n}};\n"
    assert identifier("block1.spatial: signs") == "block1_spatial_signs"
