"""From a finished search to its finals: `search` and `evaluate` know nothing of each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from supernet.files import UserError, as_written

if TYPE_CHECKING:
    from evaluate.finals.config import FinalsStage
    from evaluate.finals.entrants import Contest


def contest_of(stage: FinalsStage, search: Path, supernet: Path | None = None) -> Contest:
    """Who enters the finals that `stage` asks for of the search in `search`.

    `supernet`: its run folder where it lies now, if not where the search recorded it.

    Raises:
        UserError: not a finished search, one of another space than `stage`'s, or of a supernet that
            is not there; a named network that is none of the space; a search that found nothing.
    """
    from evaluate.finals.entrants import Contest, entrants_of, named_in
    from search.config import STAGE, SearchStage
    from search.coverage.coverage import supernet_of
    from search.problem import problem_of
    from search.results.export import open_search, standing_candidates
    from search.results.hopeful import most_hopeful
    from search.results.outcome import provenance_of
    from supernet.spaces import space_from_description
    from training.run_files.folder import open_finished

    folder, space, candidates = open_search(open_finished(search, STAGE).path)
    with as_written(folder.manifest_file):
        searched = SearchStage.of_record(folder.config)
        splits = dict(folder.manifest.get("splits") or {})
    if space_from_description(stage.space).describe() != space.describe():
        raise UserError(f"{search}: its space is another than `space` of the config is")
    given = named_in(stage.finals.include or (), space)
    place = supernet_of(search, supernet)
    standing = standing_candidates(folder, candidates)
    within = problem_of(searched).designs.within
    entrants = entrants_of(
        space,
        standing,
        {name: within[name] for name in most_hopeful(space, candidates, within)},
        given,
        stage.finals.best,
        stage.finals.designs,
        lambda candidate: provenance_of(candidate, folder),
        searched.search.limits(),
    )
    return Contest(space, search, place, entrants, splits, searched.search.scoring, searched.seed)
