"""Packed files that fit their own hash and hold nonsense: refused, or run without a crash.

A hash finds damage; it does not stop who writes one. So what is behind the hash is mutated here,
each time with a hash that fits.
"""

import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy import packed_file
from deploy.lowering.network import pack
from deploy.plan.parameters import Parameters
from deploy.plan.plan import Operation
from deploy.plan.text import describe_plan, plan_from_description
from supernet.files import UserError
from tests.deploy.networks import FORMS, SMALL, random_network

NUMBERS = st.one_of(
    st.integers(-2, 40), st.sampled_from([64, 128, 255, 1024, 2**14, 2**20, 2**31, 2**63, -(2**31)])
)
WORDS = st.one_of(
    NUMBERS.map(str),
    st.sampled_from(["conv", "binary_conv", "avg_pool", "max_pool", "global_avg_pool", "linear"]),
    st.sampled_from(["-", "none", "prelu", "rprelu"]),
)
NUM_FIELDS = len(Operation.__dataclass_fields__)


@pytest.fixture(scope="module")
def models():
    return [
        pack(random_network(options), (0.5,) * channels, (0.25,) * channels, names)
        for options, channels, names in (
            (SMALL, 1, tuple("abcdefghij")),
            (FORMS["conv, rprelu"], 1, tuple("abcdefghij")),
            (FORMS["colour"], 3, tuple("abcdefg")),
        )
    ]


def write(path, description: dict, parameters: Parameters) -> None:
    """A file whose hash fits, whatever it holds."""
    from safetensors.numpy import save

    description["sha256"] = packed_file._digest(description, parameters)
    text = json.dumps(description, separators=(",", ":"), sort_keys=True)
    tensors = {"bits": parameters.bits, "reals": parameters.reals}
    path.write_bytes(save(tensors, {"evobit": text}))


def load_and_run(path) -> None:
    """Either a clear refusal, or finite logits."""
    try:
        network = packed_file.load(path)
        plan = network.plan
        if plan.channels * plan.size**2 > 2**22:
            return
        shape = (2, plan.channels, plan.size, plan.size)
        logits = network(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    except UserError:
        return
    assert np.isfinite(logits).all()


def description_of(model) -> dict:
    return {
        "format": packed_file.FORMAT,
        "version": packed_file.VERSION,
        "plan": describe_plan(model.plan),
        "mean": list(model.preprocessing.mean),
        "std": list(model.preprocessing.std),
        "class_names": list(model.class_names),
    }


quickly = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
thoroughly = settings(quickly, max_examples=1500)


def mutate_plan(models, tmp_path, data) -> None:
    model = data.draw(st.sampled_from(models))
    description, parameters = description_of(model), model.parameters
    lines = description["plan"]["operations"]
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        words = lines[at].split(" ")
        words += ["0"] * data.draw(st.integers(0, NUM_FIELDS - len(words)))
        words[data.draw(st.integers(0, len(words) - 1))] = data.draw(WORDS)
        lines[at] = " ".join(words)
    if data.draw(st.booleans()):
        description["plan"]["size"] = data.draw(NUMBERS)
    fit = data.draw(st.booleans())
    if fit:  # as many parameters as the changed plan wants, where that is possible
        parameters = fitting_parameters(description, parameters)
    write(tmp_path / "m.evobit", description, parameters)
    load_and_run(tmp_path / "m.evobit")


def fitting_parameters(description: dict, parameters: Parameters) -> Parameters:
    """Parameters repeated or cut to what the plan needs, if it is a plan and no giant."""

    try:
        plan = plan_from_description(description["plan"])
    except UserError:
        return parameters
    shapes = plan.shapes()
    bits = sum(op.num_bit_bytes(shapes[op.source]) for op in plan.operations)
    reals = sum(
        int(np.prod(size, dtype=object))
        for op in plan.operations
        for size in op.real_sizes(shapes[op.source]).values()
    )
    if max(bits, reals) > 2**23:
        return parameters
    return Parameters(np.resize(parameters.bits, bits), np.resize(parameters.reals, reals))


def mutate_numbers(models, tmp_path, data) -> None:
    model = data.draw(st.sampled_from(models))
    reals = model.parameters.reals.copy()
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(reals) - 1))
        pattern = data.draw(st.integers(0, 2**32 - 1))
        reals[at] = struct.unpack("<f", struct.pack("<I", pattern))[0]
    bits = model.parameters.bits.copy()
    bits[data.draw(st.integers(0, len(bits) - 1))] ^= data.draw(st.integers(0, 255))
    write(tmp_path / "m.evobit", description_of(model), Parameters(bits, reals))
    load_and_run(tmp_path / "m.evobit")


MUTATIONS = pytest.mark.parametrize("mutate", [mutate_plan, mutate_numbers])


@MUTATIONS
@quickly
@given(data=st.data())
def test_some_nonsense(models, tmp_path, mutate, data):
    mutate(models, tmp_path, data)


@pytest.mark.long
@pytest.mark.fuzz
@MUTATIONS
@thoroughly
@given(data=st.data())
def test_much_nonsense(models, tmp_path, mutate, data):
    mutate(models, tmp_path, data)
