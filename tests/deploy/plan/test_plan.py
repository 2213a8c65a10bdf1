"""Plans as text and back, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.plan.plan import Operation, Plan
from deploy.plan.text import describe_plan, plan_from_description
from supernet.files import UserError

STEM = Operation("stem", "conv", 0, 16, 3, 2, 1)
UNIT = Operation("unit", "binary_conv", 1, 16, 3, 1, 1, 4, 1, "rprelu", True, -1)
POOL = Operation("pool", "global_avg_pool", 2, 16)
LINEAR = Operation("linear", "linear", 3, 10)
PLAN = Plan(3, 32, (STEM, UNIT, POOL, LINEAR))


def test_a_plan_is_text_and_back():
    text = json.dumps(describe_plan(PLAN))
    assert plan_from_description(json.loads(text)) == PLAN
    assert "stem conv 0 16 3 2 1" in text
    assert "unit binary_conv 1 16 3 1 1 4 1 rprelu 1 -1" in text


def test_shapes_and_parameter_sizes():
    shapes = PLAN.shapes()
    assert [(s.height, s.width, s.channels) for s in shapes] == [
        (32, 32, 3), (16, 16, 16), (16, 16, 16), (1, 1, 16), (1, 1, 10),
    ]  # fmt: skip
    assert UNIT.num_bit_bytes(shapes[1]) == 16 * 4 * 9 // 8
    assert UNIT.real_sizes(shapes[1]) == dict.fromkeys(
        ("thresholds", "scale", "bias", "gamma", "beta", "zeta"), (16,)
    )
    assert STEM.real_sizes(shapes[0]) == {"weight": (16, 3, 3, 3), "bias": (16,)}


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "padding", "windows"),
    [(4, 2, 2, 0, 2), (5, 2, 2, 0, 3), (112, 3, 2, 1, 57), (7, 3, 2, 0, 3), (3, 3, 1, 1, 3)],
)
def test_pools_have_torchs_ceil_mode(side, kernel, stride, padding, windows):
    torch = pytest.importorskip("torch")
    pool = Operation("pool", "max_pool", 0, 1, kernel, stride, padding)
    end = Operation("end", "global_avg_pool", 1, 1)
    shape = Plan(1, side, (pool, end)).shapes()[1]
    torch_pool = torch.nn.MaxPool2d(kernel, stride, padding, ceil_mode=True)
    assert shape.height == shape.width == torch_pool(torch.zeros(1, 1, side, side)).shape[2]
    assert shape.height == windows


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("x conv 9 16", "source is 9, expected 0 to 0"),
        ("x conv 0 0", "channels is 0"),
        ("x conv 0", "expected 4 to 12 words"),
        ("x deconv 0 16", "unknown operation 'deconv'"),
        ("x conv 0 16 3 1 1 5", "groups"),
        ("x conv 0 16 3 99", "stride is 99"),
        ("x conv 0 16 99", "kernel_size is 99"),
        ("x conv 0 16 3 1 1 1 - gelu", "unknown activation 'gelu'"),
        ("x conv 0 16 3 1 0 1 0", "cannot be added"),
        ("x conv 0 16 3 1 1 1 - none 1", "no thresholds"),
        ("x avg_pool 0 3 2 2 1", "no padding"),
        ("x avg_pool 0 4 2 2", "keeps the 3 channels"),
        ("x linear 0 10", "linear takes 1 x 1 pixels"),
        ("x conv 0 sixteen", "channels is 'sixteen', no number"),
        ("x conv 0 ²", "no number"),
        ("x conv 0 8", "last operation"),
        ("x global_avg_pool 0 3 3", "takes no window"),
        ("x conv 0 16 35", "smaller than the kernel"),
    ],
)
def test_a_plan_that_cannot_run_is_refused(line, part):
    with pytest.raises(UserError, match=part.replace("(", r"\(")):
        plan_from_description({"channels": 3, "size": 32, "operations": [line]})


def test_a_map_too_large_is_refused():
    lines = ["x conv 0 1048576", "y global_avg_pool 1 1048576"]
    with pytest.raises(UserError, match="more than"):
        plan_from_description({"channels": 3, "size": 512, "operations": lines})


WORDS = st.one_of(
    st.sampled_from(["conv", "binary_conv", "linear", "avg_pool", "-", "prelu", "", "none"]),
    st.integers(-(10**20), 10**20).map(str),
    st.integers(0, 4).map(str),
    st.text(max_size=4),
)


@given(st.lists(st.lists(WORDS, max_size=14).map(" ".join), max_size=4), st.integers(0, 40))
def test_any_text_is_a_plan_or_refused(lines, size):
    document = {"channels": 3, "size": size, "operations": lines}
    try:
        plan = plan_from_description(document)
    except UserError:
        return
    assert plan_from_description(describe_plan(plan)) == plan


@pytest.mark.parametrize("document", [None, [], {}, {"operations": 3}, {"operations": [3]}])
def test_no_plan_is_refused(document):
    with pytest.raises(UserError):
        plan_from_description(document)
