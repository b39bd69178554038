"""Text vectors of classes: what a text encoder makes of their names and descriptions, beside the features of its image encoder.

A method that needs them says `needs = "texts"` in its class, and reads them with `texts_of(self.context)` (docs/DATA.md, "Text vectors").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol as Interface
from typing import cast

from torch import Tensor

from methods.contract.context import MethodContext


@dataclass(frozen=True)
class Texts:
    """In label order, of any length but 0: of each class's prompts, [classes, d], and of J descriptions, [classes, J, d] or none."""

    prompts: Tensor
    descriptions: Tensor | None = None

    def of_first(self, classes: int) -> Texts:
        """A copy of those of the first `classes` classes, from which no other can be reached."""
        return Texts(self.prompts[:classes].clone(), None if self.descriptions is None else self.descriptions[:classes].clone())


class WithTexts(Interface):
    """The images of a context, which hold the texts, too. Apart from `TrainImages`, whose sources are those of every method."""

    def texts(self) -> Texts | None:
        """Text vectors of the classes seen so far, the current session's included; None where the data has none."""


def texts_of(context: MethodContext) -> Texts:
    """Text vectors of the classes seen so far, the current session's included. Raises ValueError where the data has none."""
    found = cast(WithTexts, context.images).texts()
    if found is None:
        raise ValueError("the data has no text vectors; docs/DATA.md says how stored features get them")
    return found
