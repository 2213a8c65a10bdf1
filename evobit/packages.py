"""The seven top-level packages, and whether their names lead to this checkout."""

from importlib.util import find_spec
from pathlib import Path

PACKAGES = (
    "evobit",
    "supernet",
    "training",
    "search",
    "latency_tables",
    "deploy",
    "evaluate",
)
CHECKOUT = Path(__file__).resolve().parent.parent


def intruders() -> dict[str, str]:
    """The packages that resolve elsewhere, with where ("nowhere" where they do not at all).

    `evaluate`, for one, is also a distribution of another project.
    """
    found = {}
    for name in PACKAGES:
        spec = find_spec(name)
        origin = spec.origin if spec is not None else None
        if origin is None or Path(origin).resolve().parent != CHECKOUT / name:
            found[name] = origin or "nowhere"
    return found
