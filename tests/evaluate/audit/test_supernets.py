"""What supernets of different rules take, and how that is made equal."""

from typing import Any

import pytest

from evaluate.audit.config import AuditStage
from evaluate.audit.supernets import TrainedRule, plan_supernets, work_of
from supernet.files import UserError
from supernet.spaces import space_from_description
from supernet.spaces.mobilenet_groups import MobileNetGroups
from training.path_sampling import PathSamplingConfig, draw_paths
from training.path_sampling.rules import num_paths
from training.seeds import stream
from training.supernet_stage import SupernetConfig

RULES: list[dict[str, Any]] = [
    {"rule": "uniform"},
    {"rule": "strict-fairness"},
    {"rule": "sandwich"},
    {"rule": "sandwich", "num_random": 0},
    {"rule": "cost-range"},
    {"rule": "cost-bins", "maximum": 1e6, "num_bins": 2},
]


def planned(stages: dict, supernet: dict, **audit: Any) -> tuple[TrainedRule, ...]:
    config = {**stages["supernet"], **supernet}
    stage = AuditStage(
        space=stages["space"], data=stages["data"], supernet=config, audit=audit, seed=3
    )
    return plan_supernets(stage, space_from_description(stage.space), None)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: "-".join(map(str, rule.values())))
def test_work_is_what_is_drawn(rule: dict, tiny_space: MobileNetGroups) -> None:
    sampling = PathSamplingConfig(**rule)
    drawn = [len(draw_paths(tiny_space, sampling, stream(0, step))) for step in range(3)]
    assert drawn == [num_paths(tiny_space, sampling)] * 3
    settings = SupernetConfig(epochs=5, sampling=sampling)
    assert work_of(tiny_space, settings, steps_per_epoch=7) == 5 * 7 * drawn[0]


def test_work_follows_a_schedule(tiny_space: MobileNetGroups) -> None:
    """Of three groups one is drawn at first: strict fairness then needs a single path."""
    schedule = [
        {"epoch": 0, "choices": {"*.spatial": [1]}},
        {"epoch": 2, "choices": {"*.spatial": [1, 2, 4]}},
    ]
    sampling = PathSamplingConfig(rule="strict-fairness", schedule=schedule)
    settings = SupernetConfig(epochs=5, sampling=sampling)
    assert work_of(tiny_space, settings, steps_per_epoch=7) == 7 * (2 * 1 + 3 * 3)


def test_equal_work(stages: dict, tiny_space: MobileNetGroups) -> None:
    rules = planned(stages, {"epochs": 12}, sampling=RULES[:4], equal_work=True)
    assert [rule.settings.epochs for rule in rules] == [12, 4, 3, 6]
    assert {work_of(tiny_space, rule.settings, 7) for rule in rules} == {12 * 7}
    assert [rule.name for rule in rules] == ["uniform", "strict-fairness", "sandwich", "sandwich-2"]


def test_the_configs_own_rule_keeps_its_epochs(stages: dict) -> None:
    supernet = {"epochs": 3, "sampling": {"rule": "sandwich"}}
    rules = planned(stages, supernet, sampling=RULES[:3], equal_work=True)
    assert [rule.settings.epochs for rule in rules] == [12, 4, 3]
    equal_epochs = planned(stages, supernet, sampling=RULES[:3])
    assert [rule.settings.epochs for rule in equal_epochs] == [3, 3, 3]


def test_phases_are_scaled_each_and_none_is_lost(stages: dict) -> None:
    supernet = {"phases": [{"epochs": 8}, {"epochs": 1}]}
    (rule,) = planned(stages, supernet, sampling=[RULES[2]], equal_work=True)
    assert [phase.epochs for phase in rule.settings.in_phases()] == [2, 1]


def test_seeds_of_supernets(stages: dict) -> None:
    (rule,) = planned(stages, {}, supernet_seeds=3)
    assert [one.name for one in rule.supernets] == ["uniform", "uniform-seed1", "uniform-seed2"]
    seeds = [one.stage.seed for one in rule.supernets]
    assert seeds[0] == 3 and len(set(seeds)) == 3
    (fewer,) = planned(stages, {}, supernet_seeds=2)
    assert [one.stage.seed for one in fewer.supernets] == seeds[:2]


@pytest.mark.parametrize(
    ("supernet", "name"),
    [
        ({"sampling": {"rule": "uniform", "widen": {"from_epoch": 1}}}, "sampling.widen"),
        ({"optimiser": {"warmup_epochs": 1}}, "optimiser.warmup_epochs"),
        (
            {"phases": [{}, {"optimiser": {"schedule": "milestones", "milestones": [1]}}]},
            "optimiser.milestones",
        ),
    ],
)
def test_what_else_counts_epochs_is_refused(stages: dict, supernet: dict, name: str) -> None:
    with pytest.raises(UserError, match=f"audit.equal_work: supernet.{name} counts epochs"):
        planned(stages, supernet, sampling=[RULES[2]], equal_work=True)
    assert planned(stages, supernet, sampling=[RULES[2]]), "at equal epochs it is allowed"
