"""Writes results/index.html from the records alone: a template, a style, a script, and a chart library with its licence, all inlined."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

from benchmarks.metrics.catalogue import tested
from benchmarks.metrics.statistics import FEWEST_TO_RESAMPLE, FEWEST_TO_TEST
from benchmarks.records.store import Store
from benchmarks.report.blocks import Block, content_of
from benchmarks.report.cells import NONE, in_text
from benchmarks.report.html.kept import kept, state_of_sources
from benchmarks.report.html.numbers import Number
from benchmarks.report.html.pairs import pairs_in
from benchmarks.report.html.rows import DRAWN, Row, headings, rows_of, shared_settings
from benchmarks.system.errors import RecordError
from benchmarks.system.files import write_atomic
from protocols.pseudo import find_protocol
from protocols.reading import ProtocolError, plain
from protocols.schema import Protocol
from protocols.study import Study, load_study, study_names

HERE = Path(__file__).parent
NAME = "index.html"
SCRIPTS = ("library/d3.min.js", "library/plot.min.js", "index.js")
LICENCES = ("library/d3.LICENSE", "library/plot.LICENSE")
# Okabe and Ito's colours without yellow and black, of which one vanishes on white and one on dark; then two of like lightness.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#9467BD", "#8C8C8C")
SYMBOLS = ("circle", "square", "triangle", "diamond", "star", "cross", "wye")
DASHES = ("", "6 2", "6 2 1 2", "2 2", "10 3", "10 3 2 3")
SIGNS = {
    "±": f"Half-width of the 95 % interval of the mean over seeds: by bootstrap; below {FEWEST_TO_RESAMPLE} seeds, Student's; below "
    f"{FEWEST_TO_TEST}, none. It is of its own row, not corrected for the number of comparisons: who is ahead, the tests say.",
    "†": "Test images chose when each session of the row ended, as in much of the literature. Such a row is not ranked.",
    "‡": "Its base session knew how many classes would come.",
    "§": "On stored features of a network that has, or may have, seen the novel classes.",
}
"""What numbers and the marks of `label_of` say, as in docs/GLOSSARY.md."""
STANDINGS = ("leader", "tie", "ahead", "behind", "no test", "not ranked", "study", "other settings")
"""The order in which a column of standings is sorted."""
IN_TABLE = ("last", "bold", "seeds")
"""Entries of a row that its cells show, and that the script does not need again."""


def write_index(results: Path, known: Sequence[Protocol] = ()) -> Path | None:
    """Writes the page over all protocols with records in this folder, and returns its path; None if there are no records.

    `known`: protocols that were named by a file. Equal records give equal bytes.
    """
    told, faults = told_of(results, known)
    blocks = [block for of_protocol in told for block in of_protocol["blocks"]]
    if not blocks:
        return None
    rows = [{**row, "block": number} for number, block in enumerate(blocks) for row in block.pop("rows")]
    for row, look in zip(rows, looks(rows), strict=True):
        row["look"] = look
    data = {
        **taken_out(rows),
        "rows": rows,
        "drawn": DRAWN,
        "tested": tested(),
        "blocks": blocks,
    }
    notes = [*faults, *(fault for of_protocol in told for fault in of_protocol["faults"])]
    failed = [run for of_protocol in told for run in of_protocol["failed"]]
    page = rendered(data, {of_protocol["name"]: of_protocol["title"] for of_protocol in told if of_protocol["blocks"]}, notes, failed)
    write_atomic(results / NAME, page.encode())
    return results / NAME


def told_of(results: Path, known: Sequence[Protocol]) -> tuple[list[dict[str, Any]], list[str]]:
    """What there is to tell of all protocols with records here, and a line for each that cannot be shown."""
    store, studies = Store(results), [load_study(name) for name in study_names()]
    by_name, sources = {protocol.name: protocol for protocol in known}, state_of_sources()
    told, faults = [], []
    for name in store.protocols():
        try:
            protocol = by_name.get(name) or find_protocol(name)
            told.append(kept(results, protocol, sources, partial(told_of_one, protocol, store, studies)))
        except ProtocolError as error:
            faults.append(plain(f"records of {name} are not on this page: {error} Name its file with --protocol."))
        except RecordError as error:
            faults.append(plain(f"records of {name} are not on this page: {error}"))
    return told, faults


def told_of_one(protocol: Protocol, store: Store, studies: Sequence[Study]) -> dict[str, Any]:
    """A protocol's name and title, its blocks with their rows, and lines about records that cannot be used and failed runs."""
    content = content_of(protocol, store, studies)
    blocks = [{**told_of_block(block), "rows": rows_of(block)} for block in content.blocks]
    failed = [str(run) for run in content.failures]
    return {"name": protocol.name, "title": protocol.title, "blocks": blocks, "faults": content.faults, "failed": failed}


def told_of_block(block: Block) -> dict[str, Any]:
    section = block.section
    return {
        "protocol": block.protocol.name,
        "recipe": section.recipe,
        "split": section.split,
        "name": ", ".join(filter(None, [block.protocol.name, section.recipe, section.split, section.differs])),
        "differs": section.differs,
        "page": block.page,
        "settings": shared_settings(section.records[0]),
        "pairs": pairs_in(section),
    }


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
        signs=SIGNS,
        standings={word: place for place, word in enumerate(STANDINGS)},
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
