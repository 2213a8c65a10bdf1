"""Plans on the compiled kernels: every operation against torch, and memory that is shared."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deploy import kernels
from deploy.engine.program import Program
from deploy.engine.reference import ReferenceOperation
from deploy.engine.schedule import Lifetime, Schedule, place
from deploy.kernels.real_conv import RealConv
from deploy.kernels.shapes import ConvShape
from deploy.plan.parameters import Parameters, operation_parameters
from deploy.plan.plan import Operation, Plan
from deploy.plan.preprocessing import Preprocessing
from supernet.files import UserError
from tests.deploy.engine.reference_values import reference_values
from tests.deploy.random_plans import MEAN, STD, random_images, random_parameters, random_plan

ROOT = Path(__file__).resolve().parents[3]
needs_native = pytest.mark.skipif(
    not kernels.backend_info()["available_isas"], reason="the compiled kernels are not installed"
)
SHARED = {"deadline": None, "suppress_health_check": list(HealthCheck)}
BATCH = 3


def programs(plan: Plan, parameters: Parameters) -> tuple[Program, Program]:
    """One whose values share memory, and one that keeps them all."""
    own = operation_parameters(plan, parameters)
    channels = plan.channels
    preprocessing = Preprocessing(MEAN[:channels], STD[:channels])
    return (
        Program(plan, own, preprocessing, BATCH),
        Program(plan, own, preprocessing, BATCH, keep_all=True),
    )


def check_operations(plan: Plan, parameters: Parameters, values: list[np.ndarray]) -> None:
    """Each value against torch, from the values that the kernels computed before it."""
    own, shapes = operation_parameters(plan, parameters), plan.shapes()
    for index, operation in enumerate(plan.operations):
        step = ReferenceOperation(operation, shapes[operation.source], own[index])
        added = None if operation.add is None else values[operation.add]
        expected, found = step(values[operation.source], added), values[index + 1]
        assert expected.shape == found.shape, operation
        if operation.kind in ("binary_conv", "max_pool", "max_pool_inside"):
            assert (expected == found).all(), operation
        else:
            size = np.abs(expected).max() + 1  # terms may cancel
            assert np.abs(expected - found).max() <= 1e-5 * size, operation


def check_plan(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan = random_plan(rng)
    parameters = random_parameters(plan, rng)
    images = random_images(plan, BATCH + 1, rng)
    sharing, keeping = programs(plan, parameters)
    logits = sharing.run(images)
    for count in (1, BATCH):
        part = keeping.run(images[:count])
        assert (part == logits[:count]).all()
        values = keeping.values(count)
        assert (values[-1][:, 0, 0] == part).all()
        assert (sharing.run(images[:count]) == part).all()
    assert (keeping.run(images) == logits).all()
    check_operations(plan, parameters, values)
    assert sharing.num_bytes <= keeping.num_bytes


@needs_native
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, derandomize=True, **SHARED)
@example(0)
def test_every_operation_of_a_random_plan_equals_torch(seed):
    check_plan(seed)


@needs_native
@pytest.mark.long
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=1500, derandomize=True, **SHARED)
def test_every_operation_of_many_random_plans_equals_torch(seed):
    check_plan(seed)


@needs_native
@pytest.mark.slow
@pytest.mark.parametrize("isa", kernels.backend_info()["available_isas"])
def test_every_instruction_set_runs_random_plans(isa):
    code = "from tests.deploy.engine import test_program as t; [t.check_plan(i) for i in range(25)]"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "EVOBIT_ISA": isa, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@needs_native
def test_threads_change_nothing():
    rng = np.random.default_rng(4)
    plan = Plan(
        3,
        64,
        (
            Operation("stem", "conv", 0, 48, 3, 1, 1, activation="prelu"),
            Operation("binary", "binary_conv", 1, 48, 3, 1, 1, add=1, thresholds=True),
            Operation("groups", "conv", 2, 24, 3, 1, 1, groups=3),
            Operation("signs", "binary_conv", 3, 24, 3, 2, 1),
            Operation("padded", "conv", 4, 64, 3, 1, 1),
            Operation("pool", "max_pool", 5, 64, 3, 2, 1),
            Operation("average", "global_avg_pool", 6, 64),
            Operation("linear", "linear", 7, 1000),
        ),
    )
    sharing, _ = programs(plan, random_parameters(plan, rng))
    images, results = random_images(plan, 7, rng), []
    before = kernels.backend_info()["threads"]
    for threads in (1, 2, 3):
        kernels.set_threads(threads)
        results.append(sharing.run(images).tobytes())
    kernels.set_threads(before)
    assert results[0] == results[1] == results[2]


def chain(*operations: Operation) -> Schedule:
    plan = Plan(3, 8, (*operations, Operation("end", "global_avg_pool", len(operations), 32)))
    parameters = random_parameters(plan, np.random.default_rng(0))
    return Schedule(plan, operation_parameters(plan, parameters))


STEM = Operation("stem", "conv", 0, 32, 3, 1, 1)


def test_signs_alone_are_written_where_only_signs_are_read():
    schedule = chain(
        STEM,
        Operation("a", "binary_conv", 1, 32, 3, 1, 1, thresholds=True),
        Operation("b", "binary_conv", 2, 32),
    )
    stem, a, b = schedule.steps[1:4]
    assert [step.kind for step in schedule.steps] == ["input", "conv"] + ["binary_conv"] * 2 + [
        "pool"
    ]
    assert stem.out is None and stem.bits is not None and stem.bits.padding == 1
    assert stem.thresholds is not None and a.thresholds is None
    assert a.out is None and a.bits is not None and a.bits.padding == 0
    assert b.out is not None and b.bits is None
    assert schedule.steps[0].out is not None and schedule.steps[0].out.padding == 1


def test_a_shortcut_and_a_convolution_read_floats_and_signs_of_one_pass():
    schedule = chain(STEM, Operation("a", "binary_conv", 1, 32, 3, 1, 1, add=1))
    assert schedule.steps[1].out is not None and schedule.steps[1].bits is not None
    assert len(schedule.steps) == 4


def test_a_second_border_or_threshold_is_packed_by_a_step_of_its_own():
    schedule = chain(
        STEM,
        Operation("a", "binary_conv", 1, 32, 3, 1, 1),
        Operation("b", "binary_conv", 1, 32, add=2),
        Operation("c", "binary_conv", 1, 32, add=3),
        Operation("d", "binary_conv", 1, 32, thresholds=True, add=4),
    )
    assert [step.kind for step in schedule.steps][:5] == [
        "input",
        "conv",
        "pack",
        "pack",
        "binary_conv",
    ]
    assert schedule.steps[1].out is not None
    assert schedule.steps[5].source is schedule.steps[6].source  # b and c want the same signs


def test_another_border_of_the_image_is_a_copy():
    schedule = chain(
        STEM,
        Operation("other", "conv", 0, 32, 5, 1, 2, add=1),
        Operation("last", "conv", 2, 32, 3, 1, 1),
    )
    kinds = [step.kind for step in schedule.steps]
    assert kinds == ["input", "pad", "pad", "conv", "conv", "pad", "conv", "pool"]


@given(
    st.lists(
        st.tuples(st.integers(1, 300), st.integers(0, 20), st.integers(0, 6)),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_places_are_shared_only_by_what_never_lives_together(drawn):
    lifetimes = [Lifetime(size, first, first + length) for size, first, length in drawn]
    offsets, total = place(lifetimes)
    assert all(offset % 64 == 0 for offset in offsets)
    spans = [(at, at + own.num_bytes) for at, own in zip(offsets, lifetimes, strict=True)]
    assert max(end for _, end in spans) == total
    for i, (begin, end) in enumerate(spans):
        for j in range(i):
            apart = end <= spans[j][0] or spans[j][1] <= begin
            assert apart or not lifetimes[i].meets(lifetimes[j])


@needs_native
def test_memory_is_reused_along_a_chain():
    operations = [STEM, *(Operation("a", "conv", i, 32, 1) for i in range(1, 20))]
    plan = Plan(3, 32, (*operations, Operation("end", "global_avg_pool", 20, 32)))
    sharing, keeping = programs(plan, random_parameters(plan, np.random.default_rng(0)))
    assert sharing.num_bytes < keeping.num_bytes / 8


def test_parameters_that_do_not_add_up_are_refused():
    plan = Plan(3, 8, (STEM, Operation("end", "global_avg_pool", 1, 32)))
    good = random_parameters(plan, np.random.default_rng(0))
    assert [sorted(own) for own in operation_parameters(plan, good)] == [["bias", "weight"], []]
    none = np.zeros(0, np.uint8)
    with pytest.raises(
        UserError, match="needs 0 bytes of binary weights and 896 reals, found 0 and 895"
    ):
        operation_parameters(plan, Parameters(none, good.reals[:-1]))
    with pytest.raises(UserError, match="found 1 and 896"):
        operation_parameters(plan, Parameters(np.zeros(1, np.uint8), good.reals))
    with pytest.raises(UserError, match="expected a flat float32 array, found float64"):
        operation_parameters(plan, Parameters(none, good.reals.astype(float)))
    damaged = good.reals.copy()
    damaged[-1] = np.inf
    with pytest.raises(UserError, match="stem: its bias is not finite"):
        operation_parameters(plan, Parameters(none, damaged))


def test_reference_values_follow_the_plan():
    rng = np.random.default_rng(8)
    plan = random_plan(rng)
    images = rng.standard_normal((2, plan.channels, plan.size, plan.size), np.float32)
    values = reference_values(plan, random_parameters(plan, rng), images)
    assert (values[0] == images.transpose(0, 2, 3, 1)).all()
    shapes = [(2, *shape.sides, shape.channels) for shape in plan.shapes()]
    assert [value.shape for value in values] == shapes


def test_a_map_too_large_for_its_offsets_is_refused():
    channels = 1 << 20
    shape = ConvShape(1, 1, channels, channels, 31, 31, 31, channels)
    weight = np.broadcast_to(np.float32(0), (channels, 1, 31, 31))
    with pytest.raises(UserError, match="padded map has more than"):
        RealConv(weight, shape)
