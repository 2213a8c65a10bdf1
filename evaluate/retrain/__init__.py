"""Train finalists and baselines, and score each once on the test split.

`config` is what is asked for; `finalists` reads architecture files, `baselines` adds uniform and
random networks under the same limits, `comparison` puts them side by side; `starts` are how they
begin. `run` is the stage; `trainings` are the jobs of several networks, each for some seeds, and
`jobs` trains and scores them one after another or on Ray; `report` is what came of it, `columns`
its table for Markdown and the page, `by_class` that of its classes, `spread` its means and
intervals, `compute` what its rows cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet.lazy import lazily

if TYPE_CHECKING:
    from evaluate.retrain.run import retrain as retrain

__getattr__ = lazily(__name__, {"retrain": "evaluate.retrain.run"})
