"""`evobit zoo`: the trained models that come with evobit."""

from __future__ import annotations

from typing import Any

from evobit.options import AsJson
from evobit.output import output


def zoo(as_json: AsJson = False) -> None:
    """List the trained models that come with evobit.

    For predict, bench, evaluate and export. top-1 is that of the trained network, on the split
    named; what its run did not measure is not known here either. Each model's card says more;
    --json names its file.
    """
    from deploy.zoo_models import zoo_models

    with output(as_json) as out:
        found = zoo_models()
        out.show({"models": found}, text="\n\n".join("\n".join(_lines(one)) for one in found))


def _lines(model: dict[str, Any]) -> list[str]:
    if "card" not in model:
        return [model["name"], f"  {model['bytes']:,} bytes; its card is not there, or was edited"]
    accuracy, costs = model["accuracy"], model["costs"] or {}
    score = "top-1 not measured"
    if accuracy is not None:
        score = f"top-1 {accuracy['top1']:.2f} %, {accuracy['split']} split of {model['data']}"
    counts = "".join(f", {name} {value:,}" for name, value in costs.items())
    return [
        f"{model['name']}: {len(model['classes'])} classes, {score}",
        f"  {model['space']}; {model['origin'] or 'of unknown origin'}",
        f"  bytes {model['bytes']:,}{counts}",
    ]
