"""Which hand-made designs a search's scores make one hope most of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search.searchers.gaussian_process import GaussianProcess
from supernet.architecture import Architecture
from supernet.candidate import Candidate
from supernet.space import SearchSpace


def most_hopeful(
    space: SearchSpace, candidates: Sequence[Candidate], designs: Mapping[str, Architecture]
) -> list[str]:
    """The names of all designs by what a Gaussian process of the scores expects, best first.

    The family is large and the finals are not: so its strongest members are sought by the same
    knowledge that the search had. Failed candidates say nothing; at least one is scored.
    """
    if not designs:
        return []
    scored = [one for one in candidates if one.fitness is not None]
    process = GaussianProcess(space)
    process.fit(
        [space.canonical(one.architecture) for one in scored],
        [one.fitness for one in scored if one.fitness is not None],
    )
    names = list(designs)
    means = process.guess([space.canonical(designs[name]) for name in names]).mean
    return [names[i] for i in sorted(range(len(names)), key=lambda i: (-means[i], i))]
