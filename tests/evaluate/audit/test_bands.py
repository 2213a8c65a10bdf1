"""Bands of equal OPs: where they lie, and that the networks drawn in them cost the same."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluate.audit import drawing
from evaluate.audit.bands import Band, densest_bands
from evaluate.audit.config import AuditConfig, AuditStage
from evaluate.audit.drawing import Drawn, draw_audited
from evobit.config import load_stage
from supernet.costs import cost
from supernet.files import UserError
from supernet.spaces import space_from_description
from supernet.spaces.mobilenet_groups import MobileNetGroups

CONFIGS = Path(__file__).parents[3] / "configs"


def ops_of(space: MobileNetGroups, drawn: Drawn) -> np.ndarray:
    return np.array([cost(space.decode(one)).ops for one in drawn.architectures])


def test_bands_by_hand() -> None:
    # Two halves: 100 to 130 and 140 to 200; 10 % hold 100, 104, 109 and 180, 190, 195.
    ops = [130, 100, 104, 109, 180, 190, 140, 195]
    assert densest_bands(ops, 2, 0.1) == [Band(100, 109), Band(180, 195)]
    assert densest_bands(ops, 1, 0.001) == [Band(100, 100)]
    assert densest_bands([5, 5, 5, 5], 2, 0.1) == [Band(5, 5)], "there is no second"


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 5), st.floats(0.01, 0.5)
)
def test_bands_are_narrow_apart_and_of_networks(ops: list[int], count: int, width: float) -> None:
    bands = densest_bands(ops, count, width)
    assert 1 <= len(bands) <= count
    for band in bands:
        assert {band.min_ops, band.max_ops} <= set(ops)
        assert band.max_ops <= band.min_ops * (1 + width)
    for one, other in zip(bands, bands[1:], strict=False):
        assert one.max_ops < other.min_ops


def test_networks_of_a_band_cost_the_same(tiny_space: MobileNetGroups) -> None:
    """Of a space so small that all of it is known."""
    config = AuditConfig(bands=2, band_width=0.1, networks=4)
    drawn = draw_audited(tiny_space, config, seed=0)
    ops, numbers = ops_of(tiny_space, drawn), drawn.band_numbers
    assert len(set(drawn.architectures)) == len(ops) == 8
    assert Counter(numbers.tolist()) == {0: 4, 1: 4}
    for number, band in enumerate(drawn.bands):
        inside = ops[numbers == number]
        assert band.min_ops <= inside.min() and inside.max() <= band.max_ops
        assert inside.max() <= 1.1 * inside.min()
    assert draw_audited(tiny_space, config, seed=0) == drawn
    assert draw_audited(tiny_space, config, seed=1) != drawn


def test_all_of_a_band_that_has_no_more(tiny_space: MobileNetGroups) -> None:
    drawn = draw_audited(tiny_space, AuditConfig(bands=1, band_width=0.1, networks=1000), seed=0)
    every = drawing._every(tiny_space)
    inside = [one for one in every if drawn.bands[0].holds(cost(tiny_space.decode(one)).ops)]
    assert set(drawn.architectures) == set(inside)


def test_bands_of_a_large_space_are_within_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "POOL", 300)
    stage = load_stage(CONFIGS / "micro_bands.yaml", AuditStage)
    space: Any = space_from_description(stage.space)
    assert space.size > 300
    config = stage.audit.model_copy(update={"limits": {"max_ops": 28_000.0}, "networks": 6})
    drawn = draw_audited(space, config, stage.seed)
    assert Counter(drawn.of_band) == {0: 6, 1: 6, 2: 6}
    ops = ops_of(space, drawn)
    assert ops.max() <= 28_000
    for number in range(3):
        inside = ops[drawn.band_numbers == number]
        assert inside.max() <= 1.04 * inside.min()


def test_the_old_audit_has_one_band_of_everything(tiny_space: MobileNetGroups) -> None:
    drawn = draw_audited(tiny_space, AuditConfig(networks=5), seed=0)
    assert drawn.bands == () and drawn.band_numbers.tolist() == [0] * 5


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"bands": 27}, r"found \d+ ranges of OPs apart from one another .* expected 27"),
        ({"bands": 8, "band_width": 1e-6}, r"found 1 networks of .* expected 2; ask for fewer"),
    ],
)
def test_bands_that_are_not_there_are_refused(
    tiny_space: MobileNetGroups, config: dict, expected: str
) -> None:
    with pytest.raises(UserError, match=f"audit.bands: {expected}"):
        draw_audited(tiny_space, AuditConfig(**config), seed=0)


def test_too_few_draws_in_a_band_are_refused(
    tiny_space: MobileNetGroups, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "POOL", 10)
    with pytest.raises(UserError, match=r"audit.bands: found \d+ networks of .* expected 9"):
        draw_audited(tiny_space, AuditConfig(bands=2, networks=9), seed=0)
