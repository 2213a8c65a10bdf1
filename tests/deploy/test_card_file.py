"""Cards: read as written, never over what somebody edited, and no text of a model is Markdown."""

import hashlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.card_file import (
    Card,
    card_path,
    card_to_extend,
    described,
    escape,
    parse_card,
    read_card,
    table,
    with_latency,
    write_card,
)
from supernet.files import UserError

LINES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30).map(
    lambda text: " ".join(text.split())
)


@given(LINES, st.dictionaries(LINES, LINES), st.dictionaries(LINES, LINES))
def test_a_card_is_read_as_it_was_written(title: str, names: dict, rows: dict) -> None:
    facts = {"classes": [*names, "---", "## x", "<!--"], "names": names, "accuracy": None}
    card = Card(title, facts, {"File": table(rows), "Check": "Fine."})
    found = parse_card(card.text())
    assert found is not None and (found.title, found.sections) == (title, card.sections)
    assert found.facts == {"format": "evobit/card", "version": 1, **facts}
    assert found.text() == card.text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("T-shirt/top 1.5", "T-shirt/top 1.5"),
        ("a|b", r"a\|b"),
        ("[x](y) <b> *c* `d`", r"\[x\](y) \<b\> \*c\* \`d\`"),
        ("one\n## two", "one ## two"),
        ("a\\|b", r"a\\\|b"),
    ],
)
def test_text_of_a_model_is_no_markdown(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_an_edited_card_is_left(tmp_path: Path) -> None:
    path, new = tmp_path / "m.md", tmp_path / "m.new.md"
    first, second = Card("a", {}, {"File": "1"}), Card("b", {}, {"File": "2"})
    assert write_card(path, first) == write_card(path, second) == path
    assert path.read_text() == second.text()
    edited = path.read_text() + "My own words.\n"
    for place, expected in ((path, new), (new, None)):
        place.write_text(edited)
        assert read_card(place) is None
        assert write_card(path, first) == expected
        assert path.read_text() == edited
    assert new.read_text() == edited
    assert sorted(tmp_path.iterdir()) == [path, new]


@pytest.mark.parametrize(
    "change", [("File", "Filed"), ("---\n# a", "---\nextra: 1\n# a"), ("2", "3")]
)
def test_any_change_is_an_edit(tmp_path: Path, change: tuple[str, str]) -> None:
    path = tmp_path / "m.md"
    write_card(path, Card("a", {}, {"File": "2"}))
    path.write_text(path.read_text().replace("\n\n# a", "\n# a").replace(*change))
    assert read_card(path) is None


def test_latency_goes_into_the_card_of_this_very_file(tmp_path: Path) -> None:
    model = tmp_path / "m.evobit"
    model.write_bytes(b"bits")
    with pytest.raises(UserError, match="m.evobit.md is not there"):
        card_to_extend(model)
    card = Card("m", {"files": [described(model)]}, {"Latency": "Not measured.", "Licence": "x"})
    write_card(card_path(model), card)
    timed = {"batch": 1, "latency_ms": 0.0471, "spread": 0.02, "rounds": 15, "isa": "avx2"}
    timed_card = with_latency(card_to_extend(model), timed | {"threads": 1}, "A CPU")
    assert list(timed_card.sections) == ["Latency", "Licence"]
    assert "| median, ms | 0.0471 |" in timed_card.sections["Latency"]
    assert "| device | A CPU |" in timed_card.sections["Latency"]
    model.write_bytes(b"other bits")
    with pytest.raises(UserError, match="card of another m.evobit"):
        card_to_extend(model)


TRAP = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}]\n" for a, b in pairwise("abcdefghijklmnopqrst")
)


@pytest.mark.parametrize(
    "facts",
    [
        TRAP,
        "a: " + "[" * 3000,
        "- a list\n",
        "format: evobit/card\nversion: 1\nfiles: none\n",
        "format: other\nversion: 1\nfiles: []\n",
        "text\n",
        "",
    ],
)
def test_a_right_hash_makes_no_card_of_another_form(facts: str) -> None:
    above = f"---\n{facts}---\n\n# title\n\n"
    digest = hashlib.sha256(above.encode()).hexdigest()
    assert parse_card(f"{above}<!-- evobit card, sha256 of all above: {digest} -->\n") is None
