"""How well supernets rank: sub-networks trained alone against their inherited scores.

`config` is what is asked for, `plan` which networks and supernets there are and whether an older
audit fits, `run` trains and scores them, `ranking` measures agreement, `report` writes it down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet.lazy import lazily

if TYPE_CHECKING:
    from evaluate.audit.run import audit as audit

__getattr__ = lazily(__name__, {"audit": "evaluate.audit.run"})
