"""Logits and loss of learned margins (ADBS; docs/modern.md 2.5), by hand."""

from __future__ import annotations

import pytest
import torch

from methods.parts.heads import MarginHead


def head_by_hand() -> MarginHead:
    """Rows (2, 0) and (3, 4): unit rows (1, 0) and (.6, .8), so their cosine is .6."""
    head = MarginHead(2, scale=16.0, learns=False)
    head.weight = torch.nn.Parameter(torch.tensor([[2.0, 0.0], [3.0, 4.0]]))
    head.margin = torch.nn.Parameter(torch.tensor([1.0, -1.5]))
    return head


def test_logits_by_hand() -> None:
    """16 |m_c| cos: 16 * 1 * 1 and 16 * 1.5 * .6 for the feature (5, 0)."""
    assert head_by_hand()(torch.tensor([[5.0, 0.0]])).tolist()[0] == pytest.approx([16.0, 14.4])


def test_separation_by_hand() -> None:
    """D_ij = (1 - c_ij) - (m_j - m_i c_ij) with c = .6 and margins 1 and -1.5: D_00 = D_11 = 0, D_01 = .4 - (-1.5 - .6) = 2.5,
    D_10 = .4 - (1 + .9) = -1.5, which the ReLU stops; the mean over four pairs is .625."""
    assert float(head_by_hand().separation().detach()) == pytest.approx(0.625)
