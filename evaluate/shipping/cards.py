"""The card of a file that `evobit pack` or `evobit export` made of a trained network."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from deploy import packed_file
from deploy.card_file import (
    LATENCY,
    NOT_MEASURED,
    Card,
    card_path,
    described,
    escape,
    read_card,
    table,
    with_latency,
    write_card,
)
from deploy.kernels import library
from evaluate.shipping.card_facts import Known, known_of_network, known_of_packed
from evaluate.shipping.checked_images import EMBEDDED
from latency_tables.machine import this_device
from training.network_file import load_network

PACKAGES = ("evobit", "torch", "numpy", "safetensors")
NOT_SHOWN = ("file", "files", "bytes", "format")
"""Of a file's figures: what stands elsewhere in its card."""

LICENCE = "Licence"
UNSAID = "as you license them"


def write_card_of(
    made: Path,
    source: Path,
    figures: Mapping[str, Any],
    data: Path | None = None,
    format: str = "packed",
    files: Sequence[Path] | None = None,
    timed: Mapping[str, Any] | None = None,
    licence: str | None = None,
) -> Path | None:
    """Write the card of `made`, a file or a folder, beside or into it.

    `figures`: of the check, by name. `data`: the folder of images that it was made on; None: the
    search split. `files`: what was written, where it is more than `made`. `timed`: what
    `deploy.bench.bench` measured of it on this machine. `licence`: of the weights; None: what the
    card of a packed `source` says.
    Returns the card's path, which ends in `.new.md` where the user edited the card that is there;
    None where that one is edited too, and nothing is written.

    Raises:
        UserError: `source` is damaged.
    """
    known = _known(source)
    written = [described(file) for file in files or (made,)]
    is_packed = format == "packed"
    by = f" `evobit bench {made.name} --card` measures it." if is_packed else ""
    sections = {
        "File": table(
            {
                "format": format,
                **{
                    file["name"]: f"{file['bytes']:,} bytes, sha256 {file['sha256']}"
                    for file in written
                },
                "made of": f"{source.name}, sha256 {described(source)['sha256']}",
            }
        ),
        **known.sections,
        LATENCY: f"{NOT_MEASURED.capitalize()}.{by}",
        "Check": _check(figures, _images(source, known, data)),
        "Versions": table(_versions()),
        LICENCE: _licence(source, licence),
    }
    card = Card(made.name, {"files": written, "kind": format, **known.facts}, sections)
    if timed is not None:
        card = with_latency(card, timed, this_device().name)
    return write_card(card_path(made), card)


def _known(source: Path) -> Known:
    if packed_file.is_packed(source):
        return known_of_packed(source, packed_file.load(source))
    return known_of_network(source, load_network(source))


def _licence(source: Path, licence: str | None) -> str:
    card = read_card(card_path(source))
    if licence is None and card is not None and card.facts.get("files") == [described(source)]:
        return card.sections[LICENCE]
    return f"Code: Apache-2.0 (evobit). Weights: {escape((licence or UNSAID).rstrip('.'))}."


def _images(source: Path, known: Known, data: Path | None) -> str:
    if data is not None:
        return "images of a folder"
    name = EMBEDDED if packed_file.is_packed(source) else known.facts["data"]
    return f"the search split of {escape(name)}"


def _check(figures: Mapping[str, Any], checked_on: str) -> str:
    shown = {name: value for name, value in figures.items() if name not in NOT_SHOWN}
    if not figures.get("images"):
        return f"Not compared with the network it was made of.\n\n{table(shown)}"
    return (
        f"Compared with the network it was made of before it was written, on {checked_on}: "
        f"{figures['same_class']:,} of {figures['images']:,} images keep their class.\n\n"
        + table({name.replace("_", " "): value for name, value in shown.items()})
    )


def _versions() -> dict[str, str]:
    """Of what made the file."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed as a package"
    return {**found, "evobit's kernels": str(library.VERSION)}
