"""Scores with inherited weights: BatchNorm statistics recomputed, then top-1 and cross-entropy.

`scorer` scores architectures of a supernet, `adapted` does so after a few steps of their own
training on images of `adapting`; `answers` are what they give, `calibration` recomputes statistics,
`shared_prefixes` does once what a batch of candidates has in common, cut at `segments`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from supernet.lazy import lazily

if TYPE_CHECKING:
    from training.scoring.scorer import Scorer as Scorer

__getattr__ = lazily(__name__, {"Scorer": "training.scoring.scorer"})
