"""The history file: what is written, what a kill leaves behind, what is refused."""

import json
from dataclasses import replace

import pytest

from supernet.candidate import Candidate, best, rank_key
from supernet.files import UserError
from supernet.history_file import History, rank_of_line, read_history, read_without_space


def candidates(space, count=4):
    made = []
    for index in range(count):
        choices = {position.name: position.choices[index % 3] for position in space.positions}
        made.append(
            Candidate(index, space.architecture(choices), {"ops": 5, "bits": 7}, 87.25, 0, "random")
        )
    return made


@pytest.fixture
def path(space, tmp_path):
    """A history of four candidates."""
    with History(tmp_path / "history.jsonl", space) as history:
        for candidate in candidates(space):
            history.append(candidate)
        history.sync()
    return tmp_path / "history.jsonl"


def test_the_form_of_a_line(space):
    assert candidates(space)[0].to_json() == (
        '{"index":0,"architecture":{"block1.spatial":1,"block2.spatial":1,"block3.spatial":1},'
        '"costs":{"ops":5,"bits":7},"top1":87.25,"generation":0,"origin":"random"}'
    )


def test_a_failure_has_its_reason(space, tmp_path):
    failed = Candidate(0, space.first(), {"ops": 5}, None, 0, "random", "its worker died")
    with History(tmp_path / "h", space) as history:
        history.append(failed)
    assert '"top1":null' in failed.to_json() and '"failure":"its worker' in failed.to_json()
    assert read_history(tmp_path / "h", space) == [failed]
    assert best([failed], 1) == []


def test_what_was_written_is_read(space, path):
    assert read_history(path, space) == candidates(space)


def test_without_the_space_it_reads_the_same(space, tmp_path):
    made = candidates(space)
    made[1] = replace(made[1], top1=None, failure="its worker died")
    made[2] = replace(made[2], top1=60.0, images=500)
    made[3] = replace(made[3], correct=b"\x05")
    lines = [candidate.to_json() for candidate in made]
    (tmp_path / "h").write_text("\n".join(lines) + '\n{"index":4,')
    found = read_without_space(tmp_path / "h")
    assert read_history(tmp_path / "h", space) == made
    assert found == [*made[:3], replace(made[3], correct=None)]
    assert [one.counted_top1 for one in found] == [87.25, None, None, 87.25]
    assert read_without_space(tmp_path / "none") == []
    names = [{id(name) for name, _ in one.architecture.choices} for one in found]
    assert names[0] == names[3], "they are kept once"


def test_a_line_ranks_as_its_candidate(space):
    scored = [replace(one, costs={"ops": 9 - k % 3}) for k, one in enumerate(candidates(space))]
    by_line = sorted(scored, key=lambda one: rank_of_line(json.loads(one.to_json())))
    assert by_line == sorted(scored, key=rank_key)
    damaged = rank_of_line({"top1": 87.25, "costs": {"ops": "few"}, "architecture": {}})
    assert max(map(rank_key, scored)) < damaged < rank_of_line({"top1": 87.0})


@pytest.mark.parametrize("line", ["[" * 100_000, '{"index": 1}', '{"index": 0}', "[]", ""])
def test_without_the_space_damage_names_file_and_line(space, path, line):
    first, rest = path.read_text().split("\n", 1)
    path.write_text(f"{first}\n{line}\n{rest}")
    with pytest.raises(UserError, match="history.jsonl, line 2: not a candidate"):
        read_without_space(path)


def test_a_kill_at_any_byte_loses_at_most_the_last_line(space, path, tmp_path):
    whole = path.read_bytes()
    cut = tmp_path / "cut.jsonl"
    for length in range(0, len(whole), 7):
        cut.write_bytes(whole[:length])
        lines = whole[:length].count(b"\n")
        assert len(read_history(cut, space)) == lines
        assert cut.read_bytes() == whole[:length]  # Reading changes nothing.
        with History(cut, space) as history:
            for candidate in candidates(space)[lines:]:
                history.append(candidate)
        assert cut.read_bytes() == whole


@pytest.mark.parametrize("tail", [b"\0\0\0", b'{"index":4,', b"torn\n", b"\xff\xfe\n"])
def test_a_torn_tail_is_cut_off(space, path, tail):
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    History(path, space).__exit__(None, None, None)
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    "old, new, says",
    [
        (b'{"index":1', b'"index":1', "line 2: not valid JSON"),
        (b'"index":1', b'"index":2', "line 2: index is 2, expected 1"),
        (b'"index":1', b'"number":1', "line 2: field 'index' is missing"),
        (b'"random"', b'"random","x":1', "line 1: unknown field 'x'"),
        (b'"top1":87.25', b'"top1":NaN', "line 1: field 'top1' is nan"),
        (b'"top1":87.25', b'"top1":null', "line 1: field 'top1' is None"),
        (b'spatial":2', b'spatial":3', "line 2: .* 3 is not a choice of 'block1.spatial'"),
    ],
)
def test_damage_names_file_and_line_and_changes_nothing(space, path, old, new, says):
    damaged = path.read_bytes().replace(old, new, 1)
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=f"history.jsonl, {says}"):
        History(path, space)
    assert path.read_bytes() == damaged


def test_ties_go_to_fewer_ops_then_to_the_id(space):
    first, second, third, _ = candidates(space)
    cheap = Candidate(9, third.architecture, {"ops": 4}, 87.25, 0, "random")
    good = Candidate(8, third.architecture, {"ops": 9}, 90.0, 0, "random")
    by_id = sorted([first, second], key=lambda candidate: candidate.architecture.id)
    assert best([first, second, cheap, good], 4) == [good, cheap, *by_id]
