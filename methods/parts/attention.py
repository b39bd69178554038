"""One-head self-attention with a residual and LayerNorm, as CEC and S3C have it (docs/methods.md 6.2, docs/modern.md 2.4)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from methods.parts.heads import unit


class Attention(nn.Module):
    """LayerNorm(x + dropout(linear(softmax(q k' / sqrt(d)) v))) over the tokens [N, tokens, d]; q, k and v are bias-free linear maps of x.

    Dropout, of the weights by `of_weights` and of the output by `dropout`, acts where a call brings what `draw` drew for it.
    """

    def __init__(self, d: int, dropout: float = 0.5, of_weights: float = 0.1) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(d, d, bias=False) for _ in range(3))
        for layer in (self.query, self.key, self.value):
            nn.init.normal_(layer.weight, std=d**-0.5)
        self.out, self.norm = nn.Linear(d, d), nn.LayerNorm(d)
        nn.init.xavier_normal_(self.out.weight)
        self.dropout, self.of_weights = dropout, of_weights

    def draw(self, count: int, tokens: int, generator: torch.Generator) -> list[Tensor]:
        """Numbers in [0, 1) that decide what is dropped of the weights and of the output, for `count` rows of `tokens`; none where nothing
        is dropped."""
        wanted = (((count, tokens, tokens), self.of_weights), ((count, tokens, self.out.out_features), self.dropout))
        return [torch.rand(shape if share else (0,), generator=generator) for shape, share in wanted]

    def forward(self, x: Tensor, drawn: Sequence[Tensor] = ()) -> Tensor:
        weights = (self.query(x) @ self.key(x).mT / x.shape[-1] ** 0.5).softmax(dim=-1)
        if drawn:
            weights = dropped(weights, self.of_weights, drawn[0].to(x.device))
        values = self.out(weights @ self.value(x))
        if drawn:
            values = dropped(values, self.dropout, drawn[1].to(x.device))
        out: Tensor = self.norm(x + values)
        return out


def dropped(x: Tensor, share: float, drawn: Tensor) -> Tensor:
    """`x` with a `share` of its entries set to 0, where `drawn` in [0, 1) is below it, and the others scaled up."""
    return x * (drawn >= share) / max(1 - share, 1e-6) if share else x


def attended_cosines(attention: nn.Module, rows: Tensor, features: Tensor, dropout: Sequence[Tensor] = ()) -> Tensor:
    """Cosines [N, classes] after self-attention over [all rows; one feature], for each of the features [N, d] alone."""
    tokens = torch.cat([rows.expand(len(features), *rows.shape), features[:, None]], dim=1)
    out = unit(attention(tokens, dropout))
    return (out[:, :-1] @ out[:, -1:].mT)[:, :, 0]
