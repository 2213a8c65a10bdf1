"""The tutorial and the how-to pages, run as a reader would run them: make docs-check."""

from pathlib import Path

import pytest

from tests.docs.console import Command, run_page, steps

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    path
    for path in sorted(DOCS.rglob("*.md"))
    if any(isinstance(step, Command) for step in steps(path.read_text()))
]


def test_the_tutorial_is_run() -> None:
    assert {path.stem for path in PAGES} >= {"tutorial", "own_device", "resume"}


@pytest.mark.docs
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_commands_of_a_page_run(path: Path, tmp_path: Path) -> None:
    run_page(path.read_text(), tmp_path)
