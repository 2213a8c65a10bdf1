"""Who enters the finals: the best that a search found, hand-made designs, named networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supernet.architecture import Architecture
from supernet.architecture_file import load_architecture
from supernet.candidate import Candidate, rank_key
from supernet.files import UserError
from supernet.files.names import check_names
from supernet.space import SearchSpace
from training.scoring.scorer import ScoringConfig

FOUND, DESIGN, GIVEN = "found", "design", "given"

Provenance = Mapping[str, Any]


@dataclass(frozen=True)
class Entrant:
    """One network of the finals; `kind` is found, design or given.

    `candidate` is the number that the search scored it as; None of one that it has not.
    `provenance` goes into its architecture file.
    """

    name: str
    kind: str
    architecture: Architecture
    candidate: int | None
    provenance: Provenance


@dataclass(frozen=True)
class Contest:
    """A finished search, as far as finals are concerned: who enters, and what it has looked at.

    `splits` are the hashes of the images that it was held on, by name; `scoring` and `seed` say
    which images of the search split it scored on.
    """

    space: SearchSpace
    search: Path
    supernet: Path
    entrants: tuple[Entrant, ...]
    splits: Mapping[str, str]
    scoring: ScoringConfig
    seed: int


def entrants_of(
    space: SearchSpace,
    candidates: Sequence[Candidate],
    designs: Mapping[str, Architecture],
    given: Mapping[str, Architecture],
    num_best: int,
    num_designs: int,
    provenance_of: Callable[[Candidate], Provenance],
    limits: Mapping[str, float],
) -> tuple[Entrant, ...]:
    """Every network once, the found ones first, best first.

    Args:
        candidates: those that may win; failed ones do not count.
        designs: all hand-made ones within the limits, the most hopeful first. A network of theirs
            is a design even where the search has found it itself.
        given: networks that the user names; one of the hand-made designs is a design.
        provenance_of: of a found network, as exports have it.
        limits: what all but the given ones keep.

    Raises:
        UserError: the search has found none but hand-made designs, or two have one name.
    """
    hand_made = {space.decode(one) for one in designs.values()}
    ranked = sorted((c for c in candidates if c.fitness is not None), key=rank_key)
    first = {space.decode(one.architecture): one for one in reversed(ranked)}
    found = [one for spec, one in first.items() if spec not in hand_made]
    found.sort(key=rank_key)
    if not found:
        raise UserError("the search has scored no network that is not one of the hand-made designs")
    entrants = [
        Entrant(f"found {place}", FOUND, one.architecture, one.index, provenance_of(one))
        for place, one in enumerate(found[:num_best], start=1)
    ]
    not_found = [(name, designs[name]) for name in list(designs)[:num_designs]]
    not_found += given.items()
    known = {space.decode(one.architecture) for one in entrants}
    for name, one in not_found:
        spec = space.decode(one)
        if spec in known:
            continue
        known.add(spec)
        scored = first.get(spec)
        number = None if scored is None else scored.index
        kind = DESIGN if spec in hand_made else GIVEN
        if name in {entrant.name for entrant in entrants}:
            raise UserError(
                f"finals.include: a file's network is called '{name}' as another of the finals is; "
                f"rename the file"
            )
        entrants.append(Entrant(name, kind, one, number, {"design": name, "limits": dict(limits)}))
    return tuple(entrants)


def named_in(files: Sequence[Path], space: SearchSpace) -> dict[str, Architecture]:
    """The architectures of files, by the name of the design that they are, or of the file.

    Raises:
        UserError: one is none of the space, or two of one name are different networks.
    """
    found: dict[str, Architecture] = {}
    for path in files:
        _, architecture, document = load_architecture(path, expected_space=space)
        provenance = document.get("provenance")
        name = (provenance or {}).get("design") if isinstance(provenance, Mapping) else None
        name = str(name or Path(path).stem)
        check_names([name], "network")
        if found.setdefault(name, architecture) != architecture:
            raise UserError(f"{path}: another network of the finals is named '{name}' too")
    return found
