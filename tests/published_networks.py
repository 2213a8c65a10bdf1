"""The published networks as parameters of tests that build or run each of them."""

import pytest

from supernet.networks import NETWORKS

# Bi-Real-152 is Bi-Real-50 with 34 more blocks of the same kind, and takes three times as long.
EACH = [
    pytest.param(name, marks=pytest.mark.long) if name == "bireal-152" else name
    for name in NETWORKS
]
