"""Who goes on to the next rung."""

from hypothesis import given
from hypothesis import strategies as st

from evaluate.finals.entrants import DESIGN, FOUND, GIVEN, Entrant
from evaluate.finals.halving import FEWEST, most_surviving, survivors
from supernet.architecture import Architecture

KEEP = st.floats(0.01, 0.99)


@st.composite
def ranked(draw: st.DrawFn) -> list[Entrant]:
    """Entrants of any kinds, a found one among them, in any order."""
    others = draw(st.lists(st.sampled_from([FOUND, DESIGN, GIVEN]), max_size=12))
    kinds = draw(st.permutations([FOUND, *others]))
    one = Architecture((("a", 1),))
    return [Entrant(f"{kind} {place}", kind, one, None, {}) for place, kind in enumerate(kinds)]


@given(ranked(), KEEP)
def test_the_best_go_on_in_their_order(entrants: list[Entrant], keep: float) -> None:
    left = survivors(entrants, keep)
    places = [entrants.index(one) for one in left]
    assert places == sorted(set(places))
    count = min(len(entrants), max(FEWEST, len(entrants) * keep))
    given = sum(one.kind == GIVEN for one in entrants)
    assert count <= len(left) <= most_surviving(len(entrants), keep, given) <= len(entrants)
    best = [place for place in range(len(entrants)) if place < count]
    assert set(best) <= set(places)


@given(ranked(), KEEP, st.integers(1, 8))
def test_the_best_of_both_kinds_reach_the_last_rung(
    entrants: list[Entrant], keep: float, rungs: int
) -> None:
    """Were the ranking the same in all rungs."""
    left = entrants
    for _ in range(rungs):
        left = survivors(left, keep)
    for kind in {one.kind for one in entrants} - {GIVEN}:
        first = next(one for one in entrants if one.kind == kind)
        assert first in left


@given(st.integers(1, 100), KEEP)
def test_more_never_leave_when_more_is_kept(entrants: int, keep: float) -> None:
    assert most_surviving(entrants, keep) <= most_surviving(entrants, min(0.99, keep + 0.1))


def test_a_third_of_nine() -> None:
    kinds = [FOUND] * 5 + [DESIGN] + [FOUND] * 3
    one = Architecture((("a", 1),))
    entrants = [Entrant(str(place), kind, one, None, {}) for place, kind in enumerate(kinds)]
    assert [one.name for one in survivors(entrants, 1 / 3)] == ["0", "1", "2", "5"]
    assert most_surviving(9, 1 / 3) == 4
