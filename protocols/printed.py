"""Published results, with their sources: rows of accuracies per session for a protocol (published/<protocol>.yaml), and tables of one
value per variant for a study (published/studies/<study>.yaml)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from protocols.fields import Line, Name, Strict, one_line
from protocols.loading import FOLDER, load_mapping, load_protocol, protocol_names
from protocols.messages import explain, unknown
from protocols.reading import ProtocolError, read_yaml, short
from protocols.schema import Protocol, SplitName
from protocols.unchanged import kept_unchanged

PUBLISHED = FOLDER / "published"


def one_line_if_any(text: str) -> str:
    return one_line(text) if text else text


Percent = Annotated[float, Field(ge=0, le=100)]
Remark = Annotated[str, Field(max_length=500), AfterValidator(one_line_if_any)]


class Printed(Strict):
    """Source and conditions of published values. `backbone` is our name for a network of ours (methods/parts/backbones.py);
    `selection` is how the epoch was chosen; `misprint` is what is printed wrongly, and where."""

    source: Line
    backbone: Name
    pretrained: Literal["imagenet"] | None = None
    split: Literal[SplitName, "unknown"]
    seeds: Line
    selection: Line
    note: Remark = ""
    misprint: Remark = ""

    @property
    def network(self) -> str:
        return self.backbone + (", ImageNet" if self.pretrained else "")


class PublishedRow(Printed):
    """One row of a published table: accuracies in percent for sessions 0..T (null: not published)."""

    method: Name | None = Field(description="null: neither a method nor a preset of this suite stands for it")
    presets: tuple[Name, ...] = Field((), description="those of the method that the row can stand beside; empty: all")
    base: Name | None = Field(None, description="the base kind that the row stands on; null: the method's own")
    label: Line
    accuracy: tuple[Percent | None, ...] = Field(min_length=1)
    carried: Percent | None = Field(None, description="session 0 of the head that goes on, where the first value is another classifier's")
    tolerance: float | None = Field(None, gt=0, le=100, description="points on the last session within which it counts as reproduced")

    @property
    def base_accuracy(self) -> float | None:
        """Accuracy in session 0 of the classifier that goes on."""
        return self.accuracy[0] if self.carried is None else self.carried

    @model_validator(mode="after")
    def _parts_of_a_method(self) -> Self:
        for name in ("presets", "base"):
            if getattr(self, name) and self.method is None:
                raise ValueError(f"{name} must be of a method, and method is null")
        return self


class PublishedStudy(Printed):
    """A published table for a study: accuracy in percent after the last session of `protocol`, by the study's labels."""

    protocol: Name
    values: dict[Line, Annotated[float, Field(ge=0, le=100, strict=True)]] = Field(min_length=1, max_length=100)


def load_published(name: str, group: str = "") -> tuple[PublishedRow, ...]:
    """Published rows for this protocol's page, or for that of a group of methods (published/<group>.<protocol>.yaml); empty if there is
    no such file.

    Raises ProtocolError, also for rows that do not fit the protocol of that name.
    """
    path = published_file(name, group)
    if not path.exists():
        return ()
    rows = rows_in(path)
    if name in protocol_names():
        check_rows(path, rows, load_protocol(name))
    return rows


def printed_beside(protocol: Protocol, group: str = "") -> tuple[PublishedRow, ...]:
    """Published rows that may stand beside a protocol's own: none where it has other sessions than the protocol that they are of, or where
    a file of the user's has that protocol's name, and images of another source. Raises ProtocolError."""
    name = protocol.printed_on
    if name in protocol_names():
        of = load_protocol(name)
        if protocol.sessions != of.sessions or (protocol.printed is None and protocol.data.source != of.data.source):
            return ()
    return load_published(name, group)


@kept_unchanged
def rows_in(path: Path) -> tuple[PublishedRow, ...]:
    content = read_yaml(path)
    try:
        return TypeAdapter(tuple[PublishedRow, ...]).validate_python(content)
    except ValidationError as error:
        raise ProtocolError(f"{path}: {explain(error, PublishedRow)}") from None


def published_file(name: str, group: str = "") -> Path:
    return PUBLISHED / (f"{group}.{name}.yaml" if group else f"{name}.yaml")


def published_groups(name: str) -> list[str]:
    """Groups of methods for which there are published rows on this protocol."""
    ending = f".{name}.yaml"
    return sorted(path.name.removesuffix(ending) for path in PUBLISHED.glob(f"*{ending}"))


def load_published_study(name: str) -> PublishedStudy | None:
    """The published table for the study of this name; None if there is no such file. Raises ProtocolError."""
    path = PUBLISHED / "studies" / f"{name}.yaml"
    if not path.exists():
        return None
    table = load_mapping(path, "printed table", PublishedStudy)
    if table.protocol not in protocol_names():
        raise ProtocolError(f"{path}: protocol: {unknown('protocol', table.protocol, protocol_names())}")
    check_split(f"{path}: split", table, load_protocol(table.protocol))
    return table


def check_rows(path: Path, rows: tuple[PublishedRow, ...], protocol: Protocol) -> None:
    """Raises ProtocolError unless every row has one value per session and a split of the protocol. A report would leave out rows of
    another length without a message."""
    columns = protocol.sessions.count + 1
    for number, row in enumerate(rows):
        if len(row.accuracy) != columns:
            raise ProtocolError(f"{path}: {number}.accuracy: must have {columns} values, one a session (got {len(row.accuracy)})")
        check_split(f"{path}: {number}.split", row, protocol)


def check_split(where: str, printed: Printed, protocol: Protocol) -> None:
    splits = (*protocol.splits, "unknown")
    if printed.split not in splits:
        raise ProtocolError(f"{where}: must be one of {', '.join(splits)} (got {short(printed.split)})")
