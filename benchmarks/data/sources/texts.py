"""Text vectors of classes, which lie beside stored features (docs/DATA.md)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.numpy import load_file

from benchmarks.data.sources.raw import TextVectors
from benchmarks.data.sources.vectors import check_vectors
from benchmarks.system.errors import DataError
from protocols.fields import MOST_CLASSES, Line, Strict, once_each
from protocols.messages import explain, first_line
from protocols.reading import short

TEXT, DESCRIPTIONS = "text", "descriptions"


class Texts(Strict):
    """How the text vectors were made. A prompt longer than the context would have been cut, and is refused.

    `descriptions` says who described the classes, such as a language model's name; None where there are prompts alone.
    """

    tokenizer: Line
    templates: Annotated[tuple[Line, ...], Field(min_length=1)]
    context: int = Field(ge=1)
    longest: int = Field(ge=1, description="tokens of the longest prompt or description")
    descriptions: Line | None = None

    @model_validator(mode="after")
    def _nothing_is_cut(self) -> Self:
        if self.longest > self.context:
            raise ValueError(f"a prompt of {self.longest} tokens is cut to the context of {self.context}; shorten it")
        return self


class NamedTexts(Texts):
    """What a file of yours says of text vectors: whose they are, row by row, too. A shuffled file could not be noticed without."""

    class_names: Annotated[tuple[Line, ...], Field(min_length=1, max_length=MOST_CLASSES), AfterValidator(once_each)]


def text_tensors(texts: Texts | None) -> set[str]:
    """Names of the tensors that hold text vectors."""
    return set() if texts is None else {TEXT} if texts.descriptions is None else {TEXT, DESCRIPTIONS}


def checked_texts(tensors: dict[str, NDArray[Any]], classes: int, width: int) -> TextVectors:
    """The text vectors in these tensors, of any length but 0: who compares them divides by it. Raises ValueError."""
    described = tensors.get(DESCRIPTIONS)
    check_vectors(TEXT, tensors[TEXT], (classes, width))
    if described is not None:
        check_vectors(DESCRIPTIONS, described, (classes, max(1, described.shape[1] if described.ndim == 3 else 1), width))
    for name in {TEXT, DESCRIPTIONS} & tensors.keys():
        if not np.linalg.norm(tensors[name], axis=-1).all():
            raise ValueError(f"{name} holds a vector of length 0, which has no direction")
    return TextVectors(tensors[TEXT], described)


def read_texts(files: Sequence[Path], class_names: Sequence[str], width: int) -> tuple[dict[str, NDArray[Any]], Texts]:
    """Text vectors of these classes, in their order, and how they were made, from a file of tensors and one of JSON. Raises DataError."""
    vectors, facts = files
    try:
        said = NamedTexts.model_validate(json.loads(facts.read_text(encoding="utf-8")))
        tensors = load_file(vectors)
    except ValidationError as error:
        raise DataError(f"{facts}: {explain(error, NamedTexts)}") from None
    except (OSError, SafetensorError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"{facts} or {vectors} cannot be read ({type(error).__name__}: {first_line(error)})") from None
    if tensors.keys() != text_tensors(said):
        raise DataError(f"{vectors}: must hold {', '.join(sorted(text_tensors(said)))}, and holds {', '.join(sorted(tensors))}")
    try:
        checked_texts(tensors, len(said.class_names), width)
    except ValueError as error:
        raise DataError(f"{vectors}: {first_line(error)}") from None
    if apart := set(class_names) ^ set(said.class_names):
        raise DataError(f"{facts}: class_names must be those of the data set; {short(min(apart))} is in one of the two alone")
    rows = [said.class_names.index(name) for name in class_names]
    texts = Texts.model_validate(said.model_dump(exclude={"class_names"}))
    return {name: tensor[rows] for name, tensor in tensors.items()}, texts
