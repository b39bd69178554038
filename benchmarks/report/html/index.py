"""Writes results/index.html from the records alone: a template, a style, a script, and a chart library with its licence, all inlined."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import jinja2

from benchmarks.metrics.catalogue import tested
from benchmarks.records.store import Store
from benchmarks.report.blocks import Block, Content, content_of
from benchmarks.report.cells import NONE, in_text
from benchmarks.report.html.numbers import Number
from benchmarks.report.html.pairs import pairs_in
from benchmarks.report.html.rows import DRAWN, Row, headings, rows_of, shared_settings
from benchmarks.system.errors import RecordError
from benchmarks.system.files import write_atomic
from protocols.pseudo import find_protocol
from protocols.reading import ProtocolError, plain
from protocols.schema import Protocol
from protocols.study import load_study, study_names

HERE = Path(__file__).parent
NAME = "index.html"
SCRIPTS = ("library/d3.min.js", "library/plot.min.js", "index.js")
LICENCES = ("library/d3.LICENSE", "library/plot.LICENSE")
# Okabe and Ito's colours without yellow and black, of which one vanishes on white and one on dark; then two of like lightness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#9467BD", "#8C8C8C")
SYMBOLS = ("circle", "square", "triangle", "diamond", "star", "cross", "wye")
DASHES = ("", "6 2", "6 2 1 2", "2 2", "10 3", "10 3 2 3")
IN_TABLE = ("last", "bold", "seeds")
"""Entries of a row that its cells show, and that the script does not need again."""


class Told(NamedTuple):
    """A protocol's content, and its rows by block."""

    content: Content
    rows: dict[Block, list[Row]]


def write_index(results: Path, known: Sequence[Protocol] = ()) -> Path | None:
    """Writes the page over all protocols with records in this folder, and returns its path; None if there are no records.

    `known`: protocols that were named by a file. Equal records give equal bytes.
    """
    told, faults = told_of(results, known)
    blocks = [block for of_protocol in told for block in of_protocol.rows]
    if not blocks:
        return None
    of_blocks = (of_block for of_protocol in told for of_block in of_protocol.rows.values())
    rows = [{**row, "block": number} for number, of_block in enumerate(of_blocks) for row in of_block]
    for row, look in zip(rows, looks(rows), strict=True):
        row["look"] = look
    data = {
        **taken_out(rows),
        "rows": rows,
        "drawn": DRAWN,
        "tested": tested(),
        "blocks": [
            {
                "protocol": block.protocol.name,
                "recipe": block.section.recipe,
                "split": block.section.split,
                "name": ", ".join(filter(None, [block.protocol.name, block.section.recipe, block.section.split, block.section.differs])),
                "differs": block.section.differs,
                "page": block.page,
                "settings": shared_settings(block.section.records[0]),
                "pairs": pairs_in(block.section),
            }
            for block in blocks
        ],
    }
    notes = [*faults, *(fault for of_protocol in told for fault in of_protocol.content.faults)]
    failed = [str(run) for of_protocol in told for run in of_protocol.content.failures]
    page = rendered(data, {block.protocol.name: block.protocol.title for block in blocks}, notes, failed)
    write_atomic(results / NAME, page.encode())
    return results / NAME


def told_of(results: Path, known: Sequence[Protocol]) -> tuple[list[Told], list[str]]:
    """What there is to tell of all protocols with records here, and a line for each that cannot be shown."""
    store, studies = Store(results), [load_study(name) for name in study_names()]
    by_name = {protocol.name: protocol for protocol in known}
    told, faults = [], []
    for name in store.protocols():
        try:
            content = content_of(by_name.get(name) or find_protocol(name), store, studies)
            told.append(Told(content, {block: rows_of(block) for block in content.blocks}))
        except ProtocolError as error:
            faults.append(plain(f"records of {name} are not on this page: {error} Name its file with --protocol."))
        except RecordError as error:
            faults.append(plain(f"records of {name} are not on this page: {error}"))
    return told, faults


def taken_out(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """What many rows share, each once: long texts, and settings. In the rows stand their numbers."""
    texts: dict[str, int] = {}
    settings: dict[str, int] = {}
    for row in rows:
        row["settings"] = settings.setdefault(json.dumps(row["settings"], sort_keys=True), len(settings))
        row["environments"] = [[texts.setdefault(text, len(texts)), seeds] for text, seeds in row["environments"]]
        if row["cost"]:
            row["cost"] = {**row["cost"], "processor": texts.setdefault(row["cost"]["processor"], len(texts))}
    return {"texts": list(texts), "settings": [json.loads(text) for text in settings]}


def looks(rows: Sequence[Row]) -> Iterator[dict[str, str]]:
    """Colour and symbol of each row's method, the same everywhere on the page, and a dash that tells its variants apart."""
    methods = sorted({row["method"] for row in rows})
    variants: dict[str, list[str]] = {}
    for row in rows:
        of_method = variants.setdefault(row["method"], [])
        if row["variant"] not in of_method:
            of_method.append(row["variant"])
        place, number = methods.index(row["method"]), of_method.index(row["variant"])
        yield {
            "colour": COLOURS[place % len(COLOURS)],
            "symbol": SYMBOLS[place % len(SYMBOLS)],
            "dash": DASHES[number % len(DASHES)],
        }


def rendered(data: dict[str, Any], titles: dict[str, str], notes: Sequence[str], failed: Sequence[str]) -> str:
    """The page. All that records and protocols say is escaped, and only the page's own scripts may run."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["href"] = lambda name: quote(f"{name}.md")
    environment.filters["interval"] = lambda pair: in_text((or_nan(pair[0]), or_nan(pair[1])))
    scripts = [read(name) for name in SCRIPTS]
    return environment.from_string(read("index.html.jinja")).render(
        allowed=" ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts),
        scripts=scripts,
        style=read("index.css"),
        licences=[read(name) for name in LICENCES],
        headings=headings(),
        none=NONE,
        data=data,
        inlined=inlined(data),
        titles=titles,
        notes=notes,
        failed=failed,
        choices={
            "protocol": sorted({block["protocol"] for block in data["blocks"]}),
            "recipe": sorted({block["recipe"] for block in data["blocks"]}),
            "split": sorted({block["split"] for block in data["blocks"]}),
            "method": sorted({row["method"] for row in data["rows"]}),
        },
    )


def or_nan(value: Number) -> float:
    return float("nan") if value is None else value


def read(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def inlined(data: dict[str, Any]) -> str:
    """JSON of what the script reads. It may stand inside a script element: no text in it can end that. Raises ValueError for NaN."""
    rows = [{name: value for name, value in row.items() if name not in IN_TABLE} for row in data["rows"]]
    return json.dumps({**data, "rows": rows}, sort_keys=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
