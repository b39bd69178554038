"""Types of the values in YAML files and methods' parameters, with their limits."""

from __future__ import annotations

import re
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

MOST = 1_000_000
"""Upper limit of the numbers in a recipe or a method's parameters, which reveals typing errors."""


MOST_EPOCHS = 10_000


MOST_CLASSES = 32_767
"""Labels and predictions are stored in 16 bits."""


def a_name(text: str) -> str:
    if not re.fullmatch("[a-z0-9][a-z0-9_-]{0,63}", text):  # becomes part of a path
        raise ValueError("must be of a-z, 0-9, _ and -, begin with a letter or digit, and have at most 64 letters")
    return text


def one_line(text: str) -> str:
    if not text.isprintable() or not text.strip():
        raise ValueError("must be one line of printable text")
    return text


def lines(text: str) -> str:
    if not text.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError("must be printable text")
    return text


def once_each(items: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if items and (twice := [item for index, item in enumerate(items) if item in items[:index]]):
        raise ValueError(f"{twice[0]!r} stands twice")
    return items


def a_sha256(text: str) -> str:
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise ValueError("must be a SHA-256, 64 hexadecimal digits in lower case")
    return text


Name = Annotated[str, AfterValidator(a_name)]


Sha256 = Annotated[str, AfterValidator(a_sha256)]


Line = Annotated[str, Field(max_length=200), AfterValidator(one_line)]


Text = Annotated[str, Field(max_length=5000), AfterValidator(lines)]


Epoch = Annotated[int, Field(ge=1, le=MOST_EPOCHS)]


Milestones = Annotated[tuple[Epoch, ...], Field(max_length=100)]


Share = Annotated[float, Field(ge=0, le=1)]


Deviation = Annotated[float, Field(ge=1e-3, le=10)]
"""Standard deviation of a channel, of pixel values from 0 to 1."""


def holds(wanted: type | tuple[type, ...], annotation: object) -> bool:
    """Whether the type of a field, or a part of it, is one of these or derives from one."""
    kind = get_origin(annotation) or annotation
    return (isinstance(kind, type) and issubclass(kind, wanted)) or any(holds(wanted, part) for part in get_args(annotation))


class Strict(BaseModel):
    """Immutable model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        types = set(map(type, value if isinstance(value, list | tuple) else [value]))  # a record has thousands of numbers
        if bool in types and not holds(bool, cls.model_fields[str(info.field_name)].annotation):
            raise ValueError("must not be true or false")
        if bytes in types:
            raise ValueError("must not be binary")
        return value


class Bounded(Strict):
    """Settings whose numbers lie between -MOST and MOST."""

    @field_validator("*")
    @classmethod
    def _within_reason(cls, value: Any) -> Any:
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(number, int | float) and abs(number) > MOST for number in numbers):
            raise ValueError(f"must be within {MOST:,}")
        return value
