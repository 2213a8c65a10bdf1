"""Which architecture: searchers, limits, scoring, pools, history and resume.

`run` is the stage, `config` its settings, `problem` what they ask for (space, costs, limits,
`objectives`), `loop` feeds a searcher's candidates to a pool and writes the history. `searchers/`
choose what comes next (one file an algorithm), `limits/` measure costs and find what keeps the
limits, `scoring/` is what a worker does, `pools/` are this process or Ray's workers, `results/`
what is made of a history: best, front, exports; `coverage/` says what a supernet was trained on.
`table_run` is a search against known accuracies in place of a supernet's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet.lazy import keep_former_paths, lazily

if TYPE_CHECKING:
    from search.config import SearchConfig as SearchConfig
    from search.config import SearchStage as SearchStage
    from search.limits.feasibility import check_feasibility as check_feasibility
    from search.results.export import export_best as export_best
    from search.results.export_front import export_front as export_front
    from search.run import run_search as run_search
    from search.searchers import SEARCHERS as SEARCHERS
    from search.searchers import Searcher as Searcher
    from supernet.candidate import Candidate as Candidate
    from supernet.costs.limits import Constraint as Constraint
    from supernet.history_file import read_history as read_history

_HOME = {
    "Candidate": "supernet.candidate",
    "Constraint": "supernet.costs.limits",
    "SEARCHERS": "search.searchers",
    "SearchConfig": "search.config",
    "SearchStage": "search.config",
    "Searcher": "search.searchers",
    "check_feasibility": "search.limits.feasibility",
    "export_best": "search.results.export",
    "export_front": "search.results.export_front",
    "read_history": "supernet.history_file",
    "run_search": "search.run",
}
__getattr__ = lazily(__name__, _HOME)
keep_former_paths(
    {
        "search.candidate": "supernet.candidate",
        "search.constraints": "supernet.costs.limits",
        "search.export": "search.results.export",
        "search.export_front": "search.results.export_front",
        "search.feasibility": "search.limits.feasibility",
        "search.history": "supernet.history_file",
    }
)
