"""Losses of pre-training against lightly's."""

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss
from torch.nn import functional as F

from training.pretraining.contrastive import info_nce, nt_xent, squared_distance

CLOSE = {"rtol": 0, "atol": 1e-6}


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(*shape), dim=1)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("count", [2, 17])
def test_nt_xent(count: int, temperature: float) -> None:
    torch.manual_seed(count)
    first, second = unit(count, 8), unit(count, 8)
    expected = NTXentLoss(temperature)(first, second)
    torch.testing.assert_close(nt_xent(first, second, temperature), expected, **CLOSE)


def test_info_nce_with_a_memory_bank() -> None:
    torch.manual_seed(0)
    oracle = NTXentLoss(0.2, memory_bank_size=(50, 8))
    queries, keys = unit(16, 8), unit(16, 8)
    expected = oracle(queries, keys)
    found = info_nce(queries, keys, oracle.memory_bank.bank, 0.2)
    torch.testing.assert_close(found, expected, **CLOSE)


def test_byol() -> None:
    """|p - t|^2 = 2 - 2 cos."""
    torch.manual_seed(0)
    p, t = unit(16, 8), unit(16, 8)
    expected = 2 + 2 * NegativeCosineSimilarity()(p, t)
    torch.testing.assert_close(squared_distance(p, t), expected, **CLOSE)
