"""How well supernets rank: sub-networks trained alone against their inherited scores.

`config` is what is asked for. `drawing` takes the networks, in `bands` of equal OPs or anywhere;
`supernets` says which there are and at what work; `plan` checks both, `run` trains them, `scores`
is what supernets say. `ranking` measures agreement, `noise` how far the truth can be trusted, both
with intervals by `resampling`; `figures` are all of it, `report` writes them down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet.lazy import lazily

if TYPE_CHECKING:
    from evaluate.audit.run import audit as audit

__getattr__ = lazily(__name__, {"audit": "evaluate.audit.run"})
