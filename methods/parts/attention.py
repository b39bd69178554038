"""One-head self-attention with a residual and LayerNorm, as CEC and S3C have it (docs/methods.md 6.2, docs/modern.md 2.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """LayerNorm(x + dropout(linear(softmax(q k' / sqrt(d)) v))) over the tokens [N, tokens, d]; q, k and v are bias-free linear maps of x.

    Dropout, of the weights by `of_weights` and of the output by `dropout`, is drawn from the generator that a call brings; without one
    there is none.
    """

    def __init__(self, d: int, dropout: float = 0.5, of_weights: float = 0.1) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(d, d, bias=False) for _ in range(3))
        for layer in (self.query, self.key, self.value):
            nn.init.normal_(layer.weight, std=d**-0.5)
        self.out, self.norm = nn.Linear(d, d), nn.LayerNorm(d)
        nn.init.xavier_normal_(self.out.weight)
        self.dropout, self.of_weights = dropout, of_weights

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        weights = (self.query(x) @ self.key(x).mT / x.shape[-1] ** 0.5).softmax(dim=-1)
        values = self.out(dropped(weights, self.of_weights, generator) @ self.value(x))
        out: Tensor = self.norm(x + dropped(values, self.dropout, generator))
        return out


def dropped(x: Tensor, share: float, generator: torch.Generator | None) -> Tensor:
    """`x` with a `share` of its entries set to 0 and the others scaled up; as it is without a generator."""
    if generator is None or not share:
        return x
    kept = torch.rand(x.shape, generator=generator).to(x.device) >= share
    return x * kept / max(1 - share, 1e-6)
