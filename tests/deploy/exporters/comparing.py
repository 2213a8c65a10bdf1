"""An exported plan against the reference, operation by operation on its own values."""

import numpy as np

from deploy.engine.packed_network import PackedNetwork
from deploy.engine.reference import ReferenceOperation
from deploy.exporters.exported import Exported
from deploy.plan.parameters import Parameters, operation_parameters
from deploy.plan.plan import Operation, Plan
from deploy.plan.preprocessing import Preprocessing
from tests.deploy.random_plans import MEAN, STD, random_parameters, random_plan


def random_network(seed: int) -> PackedNetwork:
    """Every kind of operation, in some order."""
    rng = np.random.default_rng(seed)
    plan = random_plan(rng)
    return packed_network(plan, random_parameters(plan, rng))


def packed_network(plan: Plan, parameters: Parameters) -> PackedNetwork:
    seen = Preprocessing(MEAN[: plan.channels], STD[: plan.channels])
    return PackedNetwork(plan, parameters, seen)


def random_images(packed: PackedNetwork, count: int) -> np.ndarray:
    """Normalised; one of them is 0 everywhere."""
    size = (count, packed.plan.channels, packed.plan.size, packed.plan.size)
    images = np.random.default_rng(0).standard_normal(size).astype(np.float32)
    images[0] = 0
    return images


def wrong_operations(exported: Exported, images: np.ndarray) -> list[tuple[Operation, float]]:
    """Those whose values are off by more than 1e-5 of the greatest in their map."""
    plan, values = exported.plan, exported.values(images)
    shapes, wrong = plan.shapes(), []
    for number, own in enumerate(operation_parameters(plan, exported.parameters)):
        operation = plan.operations[number]
        added = None if operation.add is None else values[operation.add]
        reference = ReferenceOperation(operation, shapes[operation.source], own)
        expected = reference(values[operation.source], added)
        found = values[number + 1].reshape(expected.shape)
        error = float(np.abs(found - expected).max() / (np.abs(expected).max() or 1))
        if not error <= 1e-5:
            wrong.append((operation, error))
    return wrong


def unit_plan(channels: int, outputs: int, groups: int, pad_value: int = 0) -> Plan:
    """A binary 3x3 convolution with thresholds behind a ReLU, and the mean of its map."""
    stem = Operation("stem", "conv", 0, channels, activation="prelu")
    unit = Operation(
        "unit", "binary_conv", 1, outputs, 3, 1, 1, groups, thresholds=True, pad_value=pad_value
    )
    return Plan(1, 7, (stem, unit, Operation("pool", "global_avg_pool", 2, outputs)))


def unit_parameters(plan: Plan, thresholds: np.ndarray, seed: int = 0) -> Parameters:
    """The stem copies the image; scale 1 and bias 0, so that the end is the mean of counts."""
    stem, unit, _ = plan.operations
    num_bytes = unit.num_bit_bytes(plan.shapes()[1])
    bits = np.random.default_rng(seed).integers(0, 256, num_bytes, dtype=np.uint8)
    bits[-1] &= 0xFF >> (-unit.channels * (stem.channels // unit.groups) * 9 % 8)
    reals = (
        np.ones(stem.channels), np.zeros(stem.channels), np.zeros(stem.channels),  # ReLU
        thresholds, np.ones(unit.channels), np.zeros(unit.channels),
    )  # fmt: skip
    return Parameters(bits, np.concatenate(reals).astype(np.float32))
