"""Which architecture: constraints, searchers, scoring pools, history and resume."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.candidate import Candidate as Candidate
    from search.config import SearchConfig as SearchConfig
    from search.config import SearchStage as SearchStage
    from search.constraints import Constraint as Constraint
    from search.export import export_best as export_best
    from search.export_front import export_front as export_front
    from search.feasibility import check_feasibility as check_feasibility
    from search.history import read_history as read_history
    from search.run import run_search as run_search
    from search.searchers import SEARCHERS as SEARCHERS
    from search.searchers import Searcher as Searcher

_HOME = {
    "Candidate": "search.candidate",
    "Constraint": "search.constraints",
    "SEARCHERS": "search.searchers",
    "SearchConfig": "search.config",
    "SearchStage": "search.config",
    "Searcher": "search.searchers",
    "check_feasibility": "search.feasibility",
    "export_best": "search.export",
    "export_front": "search.export_front",
    "read_history": "search.history",
    "run_search": "search.run",
}


def __getattr__(name: str) -> Any:
    """Import a public name where it is first used, so that `import search` loads no torch."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'search' has no attribute '{name}'")
