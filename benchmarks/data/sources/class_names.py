"""Class names of the training and test part: which of them are the same class, though a file system wrote them otherwise."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from benchmarks.system.errors import DataError


def names_in_test(where: str, train: Iterable[str], test: Iterable[str]) -> dict[str, str]:
    """Each class name of the training part, with the name that the same class has in the test part.

    Names that are the same letters in Unicode's composed and decomposed form (NFC, NFD: macOS writes the second) are one class. Raises
    DataError for two such names in one part, and for a class in only one part; says so if another name is alike.
    """
    composed = {part: by_form(where, part, names) for part, names in (("train", train), ("test", test))}
    if odd := sorted(composed["train"].keys() ^ composed["test"].keys()):
        part, other = ("train", "test") if odd[0] in composed["train"] else ("test", "train")
        name = composed[part][odd[0]]
        alike = [composed[other][form] for form in odd[1:] if form in composed[other] and alike_form(form) == alike_form(name)]
        if alike:
            raise DataError(
                f"{where}: class {name!a} of {part} and {alike[0]!a} of {other} differ only in capitals or in the form of a "
                "letter or space; give both one name"
            )
        raise DataError(f"{where}: class {name!r} is in {part} and not in {other}")
    return {name: composed["test"][form] for form, name in composed["train"].items()}


def by_form(where: str, part: str, names: Iterable[str]) -> dict[str, str]:
    """The names by their composed form. Raises DataError for two names of one form."""
    found: dict[str, str] = {}
    for name in names:
        first = found.setdefault(unicodedata.normalize("NFC", name), name)
        if first != name:
            raise DataError(
                f"{where}: classes {first!a} and {name!a} of {part} are the same letters, composed and decomposed (NFC and NFD); "
                "make them one"
            )
    return found


def alike_form(name: str) -> str:
    """The name without capitals, and without forms of letters and spaces."""
    return unicodedata.normalize("NFKC", name).casefold()
