"""The trained models that come with evobit, as their cards describe them."""

from __future__ import annotations

from typing import Any

from deploy.card_file import card_path, described, read_card
from deploy.packed_file import SUFFIX, ZOO


def zoo_models() -> list[dict[str, Any]]:
    """Of each model its name and bytes; and what its card says, where that is of this very file.

    `accuracy`: of the trained network, `split` and `top1` in percent; None: not measured.
    """
    found = []
    for path in sorted(ZOO.glob(f"*{SUFFIX}")):
        file = described(path)
        document: dict[str, Any] = {"name": f"zoo:{path.stem}", "bytes": file["bytes"]}
        card = read_card(card_path(path))
        if card is not None and card.facts.get("files") == [file]:
            told = ("origin", "space", "data", "classes", "accuracy", "costs")
            document |= {name: card.facts.get(name) for name in told}
            document["card"] = str(card_path(path))
        found.append(document)
    return found
