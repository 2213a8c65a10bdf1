"""A table of known accuracies: what it says, and what is refused."""

import json

import pytest

from search.scoring.known_table import KnownTable, TableSpace, load_table, save_table
from supernet.costs.limits import limits_from
from supernet.files import UserError
from supernet.spaces import MobileNetGroups
from tests.score_table import made_up


@pytest.fixture
def path(tmp_path):
    save_table(tmp_path / "table.json", made_up())
    return tmp_path / "table.json"


def test_a_written_table_is_read_back(path):
    assert load_table(path) == made_up()


def test_what_is_seen_is_no_part_of_the_truth():
    table = made_up()
    one = table.space.architecture({"block0": 2, "block1": 1, "block2": 1})
    # 74 points, trainings off by 0.5, -0.5 and 0
    assert [table.seen(one, k) for k in range(3)] == [74.5, 73.5, 74.0]
    assert [table.truth(one, k) for k in range(3)] == [73.75, 74.25, 74.0]


def test_a_single_training_is_its_own_truth(path):
    document = json.loads(path.read_text())
    for network in document["networks"]:
        del network["top1"][1:]
    path.write_text(json.dumps(document))
    table = load_table(path)
    one = table.space.first()
    assert table.num_seeds == 1 and table.truth(one, 0) == table.seen(one, 0) == 50.0


def test_the_best_within_limits():
    table = made_up()
    assert table.best_truth(2) == 78 - 0.125  # 2,2,2; trainings 0 and 1 are off by -0.25 and 0
    assert table.best_truth(0, limits_from({"max_flops": 1_200})) == 70.0  # 2,0,0: off by +-0.25


def drop(document):
    del document["networks"][5]


def repeat(document):
    document["networks"][5] = document["networks"][4]


def unknown_choice(document):
    document["networks"][3]["choices"]["block1"] = 7


def infinite(document):
    document["networks"][3]["top1"][1] = float("inf")


def nan(document):
    document["networks"][3]["top1"][1] = float("nan")


def above_100(document):
    document["networks"][3]["top1"][1] = 100.5


def text_for_a_cost(document):
    document["networks"][3]["costs"]["flops"] = "many"


def other_costs(document):
    del document["networks"][3]["costs"]["flops"]


def fewer_scores(document):
    del document["networks"][3]["top1"][0]


def no_scores(document):
    document["networks"][0]["top1"] = []


def no_positions(document):
    document["positions"] = {}


def choices_twice(document):
    document["positions"]["block0"] = [0, 1, 1]


def no_list(document):
    document["networks"] = 3


def unknown_field(document):
    document["extra"] = 1


def another_format(document):
    document["format"] = "evobit/front"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            drop,
            r"has 26 of the 27 architectures .* missing: {'block0': 0, 'block1': 1, 'block2': 2",
        ),
        (repeat, "networks.5: 0,1,1 stands twice"),
        (unknown_choice, "networks.3: space 'table': 7 is not a choice of 'block1'"),
        (infinite, "networks.3: top1 holds inf: expected percent"),
        (nan, "networks.3: top1 holds nan: expected percent"),
        (above_100, "networks.3: top1 holds 100.5: expected percent"),
        (text_for_a_cost, "networks.3: costs.flops is 'many': expected a finite number"),
        (other_costs, "networks.3: 0,1,0 has 3 scores and the costs milliwatts, the first"),
        (fewer_scores, "networks.3: 0,1,0 has 2 scores"),
        (no_scores, "top1 is empty"),
        (no_positions, "positions is {}: expected the choices of one or more"),
        (choices_twice, "positions.block0: a choice stands twice"),
        (no_list, "damaged"),
        (unknown_field, "missing or unknown: extra"),
        (another_format, "evobit/front"),
    ],
)
def test_damaged_tables_are_refused(path, damage, message):
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))
    with pytest.raises(UserError, match=message) as refused:
        load_table(path)
    assert str(path) in str(refused.value)


def test_another_space_is_refused():
    with pytest.raises(UserError, match="'block0' has choices 0, 1, 2, not no choices"):
        made_up().check_space(MobileNetGroups())


def test_a_space_of_the_same_positions_fits(space):
    """A table may be of a space that evobit builds, whose config is then checked against it."""
    KnownTable(TableSpace("groups", space.positions), {}).check_space(space)
