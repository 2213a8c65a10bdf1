"""Small documents of facts, written by hand, with values that are easy to place."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluate.html_report.facts.search import search_facts
from supernet.architecture import Architecture, Choice
from supernet.candidate import Candidate
from supernet.files import write_json
from training.run_files.folder import RunFolder

Facts = dict[str, Any]


def candidate(
    index: int,
    top1: float | None,
    ops: float,
    choices: Mapping[str, Choice] | None = None,
    **fields: Any,
) -> Candidate:
    """One of two positions, or of `choices`; `top1` None is a failure."""
    chosen = choices or {"block1": 1 + index % 4, "block2": 8}
    known: Facts = {
        "architecture": Architecture(tuple(chosen.items())),
        "generation": index // 4,
        "origin": ("random", "mutation", "crossover")[index % 3],
        "costs": {"ops": ops, "bits": 10 * ops, "flops": 7},
        "failure": "out of memory" if top1 is None else None,
    }
    return Candidate(index=index, top1=top1, **{**known, **fields})


def history_lines(candidates: Sequence[Candidate]) -> str:
    """As a search writes them."""
    return "".join(one.to_json() + "\n" for one in candidates)


def make_search(path: Path, candidates: Sequence[Candidate], **config: Any) -> RunFolder:
    """An unfinished search run of no real space, with this history."""
    path.mkdir(parents=True)
    (path / "history.jsonl").write_text(history_lines(candidates))
    manifest = {
        "format": "evobit/run",
        "version": 1,
        "stage": "search",
        "created": "2026-01-02T03:04:05+00:00",
        "command": ["/somewhere/evobit/__main__.py", "search", "my config.yaml"],
        "inputs": {},
        "config": {"space": {"name": "nowhere.py:Mine"}, "search": config, "seed": 3},
    }
    write_json(path / "manifest.json", manifest)
    return RunFolder(path, "search")


def searched(path: Path, candidates: Sequence[Candidate], **config: Any) -> Facts:
    """The facts of such a search."""
    return search_facts(make_search(path, candidates, **config), [])


def row(name: str, top1: Sequence[float], kind: str = "random", half: float | None = None) -> Facts:
    """A network of a report, as far as its plot looks at it."""
    mean = sum(top1) / len(top1)
    return {"name": name, "kind": kind, "top1": list(top1), "top1_mean": mean, "half_width": half}
