"""One-head self-attention with a residual and LayerNorm, as CEC and S3C have it (docs/methods.md 6.2, docs/modern.md 2.4)."""

from __future__ import annotations

from torch import Tensor, nn


class Attention(nn.Module):
    """LayerNorm(x + dropout(linear(softmax(q k' / sqrt(d)) v))) over the tokens [N, tokens, d]; q, k and v are bias-free linear maps of x.

    Dropout acts in training mode: on the weights by a tenth, on the output by `dropout`.
    """

    def __init__(self, d: int, dropout: float = 0.5, of_weights: float = 0.1) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(d, d, bias=False) for _ in range(3))
        for layer in (self.query, self.key, self.value):
            nn.init.normal_(layer.weight, std=d**-0.5)
        self.out, self.norm = nn.Linear(d, d), nn.LayerNorm(d)
        nn.init.xavier_normal_(self.out.weight)
        self.dropout, self.of_weights = nn.Dropout(dropout), nn.Dropout(of_weights)

    def forward(self, x: Tensor) -> Tensor:
        weights = (self.query(x) @ self.key(x).mT / x.shape[-1] ** 0.5).softmax(dim=-1)
        out: Tensor = self.norm(x + self.dropout(self.out(self.of_weights(weights) @ self.value(x))))
        return out
