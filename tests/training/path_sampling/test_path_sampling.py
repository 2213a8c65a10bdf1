"""Rules and schedules of drawing paths: counts, refusals, and a resumed run that drew alike."""

import json
import random
from collections import Counter
from math import sqrt
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from supernet.binarization import Binarization
from supernet.blocks.building import set_binarization
from supernet.costs import cost
from supernet.files import UserError, load_weights
from supernet.spaces.mobilenet_groups import MobileNetGroups
from supernet.spaces.spos_blocks import SposBlocks
from supernet.supernet import Supernet
from training.path_sampling import DrawRecord, PathSamplingConfig, check_sampling, draw_paths
from training.path_sampling.drawer import PathDrawer, real_path
from training.path_sampling.periods import Period, period_at, periods_of
from training.path_sampling.rules import bin_edges, bin_of, draw
from training.run_files.folder import RunFolder
from training.supernet_stage import SupernetStage
from training.supernet_training import train_supernet

SPOS = {"rule": "cost-bins", "cost": "flops", "minimum": 290e6, "maximum": 360e6, "num_bins": 7}


def ops_of(space: MobileNetGroups) -> list[float]:
    """OPs of all 27 architectures, sorted."""
    every = [(a, b, c) for a in (1, 2, 4) for b in (1, 2, 4) for c in (1, 2, 4)]
    names = [position.name for position in space.positions]
    architectures = [space.architecture(dict(zip(names, one, strict=True))) for one in every]
    return sorted(cost(space.decode(architecture)).ops for architecture in architectures)


def test_bins_are_met_as_often_as_the_paper_code_meets_them() -> None:
    """Acceptance of each bin of 10 MFLOPs [source: the authors' code, counted]."""
    space, config, rng = SposBlocks(), PathSamplingConfig(**SPOS), random.Random(0)
    draws = 2000
    flops = [cost(space.decode(space.sample(rng))).flops for _ in range(draws)]
    counts = Counter(bin_of(config, value) for value in flops)
    for number, share in enumerate((0.011, 0.064, 0.196, 0.317, 0.273, 0.114, 0.022)):
        # Four deviations of a binomial, and the share's own rounding: for the last bin
        # 44 +- (4 sqrt(2000 * .022 * .978) + 2000 * .0005) = 44 +- 27.
        tolerance = 4 * sqrt(draws * share * (1 - share)) + draws * 0.0005
        assert counts[number] == pytest.approx(draws * share, abs=tolerance)


def test_every_bin_is_drawn_alike(tiny_space: MobileNetGroups) -> None:
    every = ops_of(tiny_space)
    low, high = every[0], every[-1] + 1
    config = PathSamplingConfig(rule="cost-bins", minimum=low, maximum=high, num_bins=3)
    record, rng = DrawRecord(tiny_space, config), random.Random(0)
    for _ in range(600):
        record.add(draw(Period(0, tiny_space), config, rng))
    bins = record.as_dict()["cost_bins"]
    assert bins["edges"] == pytest.approx([low, (2 * low + high) / 3, (low + 2 * high) / 3, high])
    assert sum(bins["drawn"]) == 600 and bins["outside"] == bins["fallbacks"] == 0
    # 200 +- 4 sqrt(600 * 1/3 * 2/3) = 200 +- 46; architectures lie in the bins as unevenly as this:
    assert all(154 <= count <= 246 for count in bins["drawn"])
    uniform = Counter(bin_of(config, value) for value in every)
    assert any(not 154 <= 600 * count / 27 <= 246 for count in uniform.values())


def test_a_bin_without_architectures_falls_back(
    tiny_space: MobileNetGroups, capsys: pytest.CaptureFixture[str]
) -> None:
    # Twice as far up as the space goes: nothing is in the upper bin.
    low, high = ops_of(tiny_space)[0], ops_of(tiny_space)[-1] + 1
    config = PathSamplingConfig(rule="cost-bins", minimum=low, maximum=2 * high - low, num_bins=2)
    check_sampling(tiny_space, config, random.Random(0))
    assert "note: supernet.sampling: none of 1000 drawn" in capsys.readouterr().err
    record, rng = DrawRecord(tiny_space, config), random.Random(0)
    for _ in range(40):
        record.add(draw(Period(0, tiny_space), config, rng))
    bins = record.as_dict()["cost_bins"]
    assert bins["drawn"] == [40, 0]  # the realised histogram, not the wanted one
    assert 8 <= bins["fallbacks"] <= 32  # 20 +- 4 sqrt(40 / 4)
    nowhere = PathSamplingConfig(rule="cost-bins", maximum=1, num_bins=2)
    record = DrawRecord(tiny_space, nowhere)
    record.add(draw(Period(0, tiny_space), nowhere, rng))
    bins = record.as_dict()["cost_bins"]
    assert (bins["drawn"], bins["outside"], bins["fallbacks"]) == ([0, 0], 1, 1)
    with pytest.raises(UserError, match="none of 1000 drawn architectures has ops between 0 and 1"):
        check_sampling(tiny_space, nowhere, rng)
    with pytest.raises(UserError, match="no cost 'macs'"):
        check_sampling(tiny_space, config.model_copy(update={"cost": "macs"}), rng)


@given(
    st.floats(-1e9, 1e9),
    st.floats(1e-3, 1e9),
    st.integers(1, 50),
    st.floats(0, 1, exclude_max=True),
)
def test_bins_tile_the_range(low: float, width: float, num_bins: int, share: float) -> None:
    config = PathSamplingConfig(
        rule="cost-bins", minimum=low, maximum=low + width, num_bins=num_bins
    )
    value = low + share * (config.maximum - low)
    number = bin_of(config, value)
    if value < config.maximum:  # the sum may round up to it
        assert number is not None
        edges, slack = bin_edges(config), 1e-9 * (abs(low) + width)
        assert edges[number] - slack <= value <= edges[number + 1] + slack
    assert bin_of(config, config.minimum) == 0
    assert bin_of(config, config.maximum) is None
    assert bin_of(config, config.minimum - 1) is None


def test_a_sandwich_has_both_ends_and_what_lies_between(tiny_space: MobileNetGroups) -> None:
    config, rng = PathSamplingConfig(rule="sandwich"), random.Random(0)
    seen = set()
    for _ in range(50):
        largest, smallest, *others = draw_paths(tiny_space, config, rng)
        assert (str(largest), str(smallest), len(others)) == ("1,1,1", "4,4,4", 2)
        seen.update(others)
    # Of 27 architectures 100 draws miss one in 27 (26/27)^100 = .6 cases on average.
    assert len(seen) >= 23
    only = PathSamplingConfig(rule="sandwich", num_random=0)
    assert len(draw_paths(tiny_space, only, rng)) == 2


SCHEDULE = [
    {"epoch": 0, "choices": {"*.spatial": [1]}},
    {"epoch": 2, "choices": {"*": [1, 2], "block3.*": [4, 1.0]}},
    {"epoch": 5, "choices": {"block1.spatial": [1, 2, 4]}},
]


def test_a_schedule_opens_choices_by_epoch(tiny_space: MobileNetGroups) -> None:
    periods = periods_of(tiny_space, PathSamplingConfig(schedule=SCHEDULE))

    def at(epoch: int) -> list[tuple]:
        return [position.choices for position in period_at(periods, epoch).space.positions]

    assert at(0) == at(1) == [(1,), (1,), (1,)]
    # In the space's order and as it writes them; the later pattern counts.
    assert at(2) == at(4) == [(1, 2), (1, 2), (1, 4)]
    assert all(isinstance(choice, int) for choice in at(2)[2])
    assert at(5) == at(99) == [(1, 2, 4), (1, 2), (1, 4)]
    late = PathSamplingConfig(schedule=SCHEDULE[1:])
    assert periods_of(tiny_space, late)[0].space is tiny_space


def test_widening_goes_from_the_largest_down(tiny_space: MobileNetGroups) -> None:
    widen = {"pattern": "block[12].*", "from_epoch": 3, "every_epochs": 2}
    periods = periods_of(tiny_space, PathSamplingConfig(widen=widen))
    found = {period.first_epoch: period.space.positions for period in periods}
    # Fewest groups, most parameters, first.
    assert {epoch: positions[0].choices for epoch, positions in found.items()} == {
        0: (1,),
        3: (1, 2),
        5: (1, 2, 4),
    }
    assert all(positions[2].choices == (1, 2, 4) for positions in found.values())
    assert {one.axis for positions in found.values() for one in positions} == {"groups"}
    at_once = {"pattern": "*", "from_epoch": 0}
    first = periods_of(tiny_space, PathSamplingConfig(widen=at_once))[0]
    assert [position.choices for position in first.space.positions] == [(1, 2)] * 3


@pytest.mark.parametrize("rule", ["uniform", "strict-fairness", "cost-range", "cost-bins"])
def test_a_schedule_narrows_every_rule(tiny_space: MobileNetGroups, rule: str) -> None:
    every = ops_of(tiny_space)
    more: dict = {}
    if rule.startswith("cost"):
        more = {"minimum": every[0], "maximum": every[-1] + 1}
    if rule == "cost-bins":
        more |= {"num_bins": 1}
    config = PathSamplingConfig(rule=rule, schedule=SCHEDULE, **more)
    check_sampling(tiny_space, config, random.Random(0))
    period = period_at(periods_of(tiny_space, config), 2)
    rng, seen = random.Random(0), set()
    for _ in range(60):
        paths = draw(period, config, rng).paths
        assert len(paths) == (2 if rule == "strict-fairness" else 1)
        seen.update(map(str, paths))
    assert seen == {f"{a},{b},{c}" for a in (1, 2) for b in (1, 2) for c in (1, 4)}


def test_a_sandwich_lies_between_the_ends_of_its_period(tiny_space: MobileNetGroups) -> None:
    config = PathSamplingConfig(rule="sandwich", schedule=SCHEDULE)
    period = period_at(periods_of(tiny_space, config), 2)
    drawn = draw(period, config, random.Random(0)).paths
    assert [str(path) for path in drawn[:2]] == ["1,1,1", "2,2,4"]


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        (
            {"schedule": [SCHEDULE[0], {"epoch": 1, "choices": {"*.widht": [1]}}]},
            r"sampling\.schedule\.1: no position of space 'mobilenet-groups' matches '\*\.widht'",
        ),
        (
            {"schedule": [{"epoch": 0, "choices": {"block2.*": [1, 3]}}]},
            r"sampling\.schedule\.0: 3 of 'block2\.\*' is not a choice of 'block2\.spatial'; "
            "choices are 1, 2, 4",
        ),
        ({"widen": {"from_epoch": 3}}, r"sampling\.widen: no position .* matches '\*\.width'"),
        (
            {
                "rule": "cost-range",
                "maximum": "cheapest",
                "schedule": [{"epoch": 4, "choices": {"*": [1]}}],
            },
            "none of 1000 drawn architectures from epoch 4 on has ops between",
        ),
    ],
)
def test_a_schedule_that_does_not_fit_is_refused(
    tiny_space: MobileNetGroups, sampling: dict, message: str
) -> None:
    if sampling.get("maximum") == "cheapest":
        sampling = {**sampling, "maximum": ops_of(tiny_space)[5]}
    with pytest.raises(UserError, match=message):
        check_sampling(tiny_space, PathSamplingConfig(**sampling), random.Random(0))


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"num_bins": 3}, "num_bins is for rule cost-bins, not for uniform"),
        ({"rule": "cost-bins", "maximum": 5}, "rule cost-bins needs num_bins"),
        ({"rule": "cost-bins", "num_bins": 2}, "needs a finite maximum above minimum"),
        ({"distil": False}, "distil is for rule sandwich"),
        ({"rule": "sandwich", "distil": False, "teacher_is_real": True}, "no effect without"),
        ({"schedule": SCHEDULE[::-1]}, "expected rising ones"),
        ({"schedule": SCHEDULE, "widen": {"from_epoch": 1}}, "not both"),
        ({"schedule": [{"epoch": 0, "choices": {"*": []}}]}, "at least 1 item"),
        ({"schedule": [{"epoch": 0, "choices": {"*": [True]}}]}, "schedule.0.choices"),
    ],
)
def test_settings_that_contradict_are_refused(sampling: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        PathSamplingConfig(**sampling)


def test_choices_that_no_epoch_draws_are_named(
    tiny_space: MobileNetGroups, capsys: pytest.CaptureFixture[str]
) -> None:
    config = PathSamplingConfig(widen={"pattern": "block1.*", "from_epoch": 3})
    check_sampling(tiny_space, config, random.Random(0), epochs=5)
    assert capsys.readouterr().err == ""
    check_sampling(tiny_space, config, random.Random(0), epochs=4)
    assert "draws 4 of 'block1.spatial' in none of the 4 epochs" in capsys.readouterr().err


def test_epochs_count_through_all_phases(stages: dict, tmp_path: Path) -> None:
    # 128 images / 16 = 8 steps an epoch; only the last of 2 + 1 epochs draws 2.
    sampling = {"schedule": [SCHEDULE[0], {"epoch": 2, "choices": {"*": [2]}}]}
    stage = stage_of(stages, sampling=sampling, phases=[{"epochs": 2}, {"epochs": 1}])
    counts = train_supernet(stage, tmp_path / "run")["update_counts"]
    assert counts == {f"block{n}.spatial": {"1": 16, "2": 8} for n in (1, 2, 3)}


@pytest.mark.parametrize(
    "sampling",
    [
        {"rule": "cost-bins", "minimum": 0, "maximum": "dearest", "num_bins": 6},
        {"rule": "sandwich", "num_random": 1},
        {"rule": "strict-fairness", "widen": {"pattern": "*", "from_epoch": 1}},
    ],
    ids=lambda sampling: sampling["rule"],
)
def test_resumed_equals_uninterrupted(
    stages: dict,
    tiny_space: MobileNetGroups,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sampling: dict,
) -> None:
    if "maximum" in sampling:  # the dearest networks lie outside, and most bins are empty
        sampling = {**sampling, "maximum": ops_of(tiny_space)[-3]}
    stage = stage_of(stages, sampling=sampling)
    whole = train_supernet(stage, tmp_path / "whole")
    call = PathDrawer.__call__

    def stop_at_13(self: PathDrawer, step: int) -> list[torch.nn.Module]:
        if step == 13:
            raise KeyboardInterrupt
        return call(self, step)

    monkeypatch.setattr(PathDrawer, "__call__", stop_at_13)
    with pytest.raises(KeyboardInterrupt):
        train_supernet(stage, tmp_path / "cut")
    monkeypatch.setattr(PathDrawer, "__call__", call)
    assert (tmp_path / "cut" / "checkpoint.pt").exists()
    assert train_supernet(stage, tmp_path / "cut") == whole
    assert RunFolder(tmp_path / "cut", "supernet").summary == json.loads(json.dumps(whole))
    expected, found = (
        load_weights(tmp_path / name / "supernet.safetensors")[0] for name in ("whole", "cut")
    )
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    if "cost_bins" in whole:
        bins = whole["cost_bins"]
        assert sum(bins["drawn"]) + bins["outside"] == whole["steps"] == 24
        assert bins["fallbacks"] > 0
    lines = [json.loads(one) for one in (tmp_path / "cut" / "log.jsonl").read_text().splitlines()]
    logged = [line for line in lines if line["event"] == "train"]
    assert logged and all(
        ("kl_in_place" in line) == (sampling["rule"] == "sandwich") for line in logged
    )


def test_a_real_teacher_is_the_largest_path_made_otherwise() -> None:
    """Beside binary paths of the same weights, which stay binary."""
    torch.manual_seed(0)
    space = MobileNetGroups(
        image_size=16, classes=5, width=0.25, groups=(1, 2), blocks=((64, 1), (128, 2))
    )
    supernet = Supernet(space, "sliced").eval()
    largest, x = space.largest(), torch.randn(4, 3, 16, 16)
    binary = supernet(x, largest)
    real = real_path(supernet, largest)
    twin = supernet.extract(largest)
    set_binarization(twin, Binarization(weights="real", activations="identity"))
    assert torch.equal(real(x), twin(x))
    assert not torch.equal(real(x), binary)
    assert torch.equal(supernet(x, largest), binary)


def test_a_real_teacher_needs_paths_that_can_differ(stages: dict, tmp_path: Path) -> None:
    stage = stage_of(stages, sampling={"rule": "sandwich", "teacher_is_real": True})
    with pytest.raises(UserError, match="teacher_is_real: sharing 'independent'"):
        train_supernet(stage, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def stage_of(stages: dict, **supernet: object) -> SupernetStage:
    sections = {name: stages[name] for name in ("space", "data", "seed")}
    return SupernetStage(**sections, supernet={**stages["supernet"], **supernet})
