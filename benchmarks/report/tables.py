"""The tables of one section: records that share protocol, recipe and split."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from benchmarks.metrics import accuracy as metrics
from benchmarks.metrics.catalogue import Table, columns
from benchmarks.metrics.statistics import ALPHA, FEWEST_TO_RESAMPLE, FEWEST_TO_TEST
from benchmarks.records.schema import Record
from benchmarks.report.cells import NONE, intervals
from benchmarks.report.frame import KEPT, contaminated, label_of, run_of, same_answers
from benchmarks.report.ranking import ahead_of_all, few_seeds, scores_of
from benchmarks.report.section import Section
from benchmarks.report.verdict import other_network
from protocols.printed import PublishedRow

KNOWN = "‡: its base session knows in advance how many classes will come."


def markdown(rows: Sequence[Sequence[str]], header: Sequence[str]) -> str:
    """A table in GitHub's Markdown. Vertical bars and angle brackets inside cells are escaped: a name is no tag."""
    frame = pd.DataFrame([list(map(escaped, row)) for row in rows], columns=list(map(escaped, header)))
    alignment = ["left"] + ["right"] * (len(header) - 1)
    return frame.to_markdown(index=False, disable_numparse=True, colalign=alignment)


def escaped(cell: str) -> str:
    """A cell as Markdown prints it; the `<` of a `<0.001` is no tag's."""
    return re.sub(r"<(?=[A-Za-z/!?])", "&lt;", cell.replace("|", "\\|"))


def last_block(section: Section, variant: str, table: Table) -> pd.DataFrame:
    """One variant after its last session: one row per seed, one column per metric of the table, named by its heading."""
    frame = section.last[section.last["variant"] == variant].set_index("seed")
    shown = columns(table)
    for entry, _ in shown:
        if entry.name not in frame:
            frame[entry.name] = {record.identity.seed: entry.value(run_of(record)) for record in section.variants[variant]}
    return frame[[entry.name for entry, _ in shown]].rename(columns={entry.name: column.heading for entry, column in shown})


def winners(section: Section, blocks: Mapping[str, pd.DataFrame], contested: Mapping[str, str]) -> dict[str, str]:
    """Contested column -> the row that is ahead of all others in it, to be printed bold; columns without one are left out.

    `contested`: column -> whether `high` or `low` is better.
    """
    signs = {name: 1 if better == "high" else -1 for name, better in contested.items()}
    return ahead_of_all({name: {row: scores_of(sign * blocks[row][name]) for row in section.ranked} for name, sign in signs.items()})


def rows_of(section: Section, blocks: Mapping[str, pd.DataFrame], contested: Mapping[str, str]) -> dict[str, list[str]]:
    """The cells of every variant; those of `winners` are bold."""
    cells = {variant: intervals(variant, block) for variant, block in blocks.items()}
    for name, winner in winners(section, blocks, contested).items():
        place = list(blocks[winner].columns).index(name)
        cells[winner][place] = f"**{cells[winner][place]}**"
    return cells


def session_blocks(section: Section) -> dict[str, pd.DataFrame]:
    """For every variant, one row per seed: accuracy after each session, then Average and PD."""
    blocks = {}
    for variant in section.variants:
        table = section.curves(variant)
        drops = [metrics.performance_drop(list(curve)) for _, curve in table.iterrows()]
        blocks[variant] = table.assign(Average=table.mean(axis=1), PD=drops)
    return blocks


def contested_last() -> dict[str, str]:
    """Columns of the table after the last session in which a row may be bold -> whether `high` or `low` is better."""
    return {column.heading: entry.better for entry, column in columns("last") if entry.bold}


def accuracy_table(section: Section, published: Sequence[PublishedRow]) -> str:
    """Table with methods in rows and sessions 0..T in columns (the layout of the paper's Tables 4, 5, 7), then average and PD."""
    blocks = session_blocks(section)
    sessions = [str(number) for number in range(len(section.records[0].sessions))]
    cells = rows_of(section, blocks, dict.fromkeys([*sessions, "Average"], "high"))
    rows: list[list[str]] = []
    for variant, records in section.variants.items():
        seeds = section.seeds_cell(len(records), section.failed(variant))
        rows.append([label_of(records[0]), seeds, *cells[variant]])
        for row in (r for r in published if printed(r, records[0])):
            rows += published_rows(row, [float(blocks[variant][column].mean()) for column in sessions])
    rows += [[label, section.seeds_cell(0, count), *["failed"] * (len(sessions) + 2)] for label, count in section.failed_rows().items()]
    return markdown(rows, ["Method", "Seeds", *sessions, "Average", "PD"])


def one_run_rows(section: Section) -> str:
    """Sentence naming the rows of which all seeds predicted the same: one run that was done several times; empty if there are none."""
    found = [records for records in section.variants.values() if len(records) > 1 and same_answers(records)]
    if not found:
        return ""
    names = ", ".join(label_of(records[0]) for records in found)
    return (
        f"**All seeds gave the same predictions**: {names}. Order and shots are fixed and nothing else is drawn. Their ± 0.00 is "
        "therefore no interval, and a test against such a row reflects the variation of the other row alone."
    )


def widths(section: Section) -> str:
    """Sentences that explain ±, and ‡ where it is, in this section."""
    counts = [len(records) for records in section.variants.values()]
    ways = ["bootstrap over seeds"] if max(counts) >= FEWEST_TO_RESAMPLE else []
    if any(FEWEST_TO_TEST <= count < FEWEST_TO_RESAMPLE for count in counts):
        ways.append(f"Student-t for rows of fewer than {FEWEST_TO_RESAMPLE} seeds")
    few = "One seed" if max(counts) == 1 else f"Fewer than {FEWEST_TO_TEST} seeds"
    said = f"±: 95 % interval by {'; '.join(ways)}." if ways else f"{few}: no ±."
    return " ".join(filter(None, [said, one_run_rows(section), *marked(section.records)]))


def marked(records: Sequence[Record]) -> list[str]:
    """Sentences on the marks of these rows' labels that say what a row knew before its sessions: ‡ and §."""
    known = [KNOWN] if any(record.knows_all_classes for record in records) else []
    features = dict.fromkeys(data.features.in_words for record in records if (data := record.identity.data).features and contaminated(data))
    return known + [f"§: {text}. These rows rank among themselves alone." for text in features]


def legend(section: Section) -> str:
    """Sentences that explain ± and bold in this section, and what no row of it trains."""
    width = widths(section) + held_back(section)
    if max(len(records) for records in section.variants.values()) < FEWEST_TO_TEST:
        return f"{width} Nothing is bold: a test needs {FEWEST_TO_TEST} seeds."
    uncontested = [column.heading for entry, column in columns("last") if not entry.bold]
    unranked = ["rows marked †"] if any(record.selection == "oracle_test" for record in section.records) else []
    unranked += ["rows that keep all past images"] if any(record.memory_budget is None for record in section.records) else []
    return (
        f"{width} Bold: ahead of every other ranked row of the column by paired t-tests over common seeds, Holm-corrected over all columns "
        f"of its table, at {ALPHA}; within a tie nothing is bold. In no test, and never bold: {'; '.join(['PD', *uncontested])}."
        + untested(section)
        + (f" Not ranked: {', and '.join(unranked)}." if unranked else "")
    )


def held_back(section: Section) -> str:
    """Sentence on what the recipe keeps every row from training; empty if that is nothing, or not the same in all rows."""
    last = {record.identity.base_recipe for record in section.records}
    trained = {recipe.trains for recipe in last}
    if len(trained) > 1 or trained == {"all"}:
        return ""
    part = "the backbone" if trained == {"none"} else "the backbone below its last block"
    runs = [record.identity for record in section.records]
    everywhere = {run.recipe_of(stage).trains for run in runs for stage in run.stages}
    since = "it came" if everywhere == trained else "an earlier base session left it"
    first, *others = {recipe.stored_views for recipe in last}
    views = f" (outputs stored for {first} augmented views an image)" if first and not others else ""
    return f" **No session trains {part}**, in any row: the recipe keeps it as {since}{views}."


def untested(section: Section) -> str:
    """Sentence naming the ranked rows with too few seeds for a test; empty if there are none."""
    names = [label_of(section.variants[variant][0]) for variant in few_seeds({name: section.variants[name] for name in section.ranked})]
    if not names:
        return ""
    return (
        f" Fewer than {FEWEST_TO_TEST} seeds, so in no test, and no column is bold in which one has the highest mean: {', '.join(names)}."
    )


def printed(row: PublishedRow, record: Record) -> bool:
    """Whether a published row is about this variant, base kind and network. A changed `selection` does not matter, so that rows of papers
    that chose epochs on test images are also shown with our runs that did."""
    identity = record.identity
    return (
        row.method == identity.method
        and identity.preset in (row.presets or (identity.preset,))
        and identity.asked_base == row.base
        and set(identity.overrides) <= {"selection"}
        and not other_network(row, identity.backbone)
    )


def published_rows(row: PublishedRow, measured: Sequence[float]) -> list[list[str]]:
    """Two rows of cells: the published values, and measured minus published in points."""
    values = [float("nan") if value is None else value for value in row.accuracy]
    gaps = [NONE if np.isnan(value) else f"{ours - value:+.2f}" for ours, value in zip(measured, values, strict=True)]
    gap_tail = [NONE, NONE]
    if None not in row.accuracy:
        ours_drop, theirs_drop = measured[0] - measured[-1], values[0] - values[-1]
        gap_tail = [f"{np.mean(measured) - np.mean(values):+.2f}", f"{ours_drop - theirs_drop:+.2f}"]
    cells = [NONE if np.isnan(value) else f"{value:.2f}" for value in values]
    return [
        [f"↳ published: {row.label}, {row.source}", NONE, *cells, *average_and_drop(row)],
        ["↳ measured − published", NONE, *gaps, *gap_tail],
    ]


def average_and_drop(row: PublishedRow) -> list[str]:
    """Cells with average and PD of a published row; dashes if values are missing."""
    values = [value for value in row.accuracy if value is not None]
    if len(values) < len(row.accuracy):
        return [NONE, NONE]
    return [f"{np.mean(values):.2f}", f"{values[0] - values[-1]:.2f}"]


def final_table(section: Section) -> str:
    """Table after the last session: base, novel, their harmonic mean, and what the method kept and added."""
    shown = columns("last")
    blocks = {variant: last_block(section, variant, "last") for variant in section.variants}
    cells = rows_of(section, blocks, contested_last())
    rows = []
    for variant, records in section.variants.items():
        means = section.last.loc[section.last["variant"] == variant, list(KEPT)].mean()
        rows.append([label_of(records[0]), *cells[variant], *(NONE if np.isnan(mean) else f"{mean:,.0f}" for mean in means)])
    rows += [[label, *["failed"] * (len(shown) + len(KEPT))] for label in section.failed_rows()]
    return markdown(rows, ["Method", *(column.heading for _, column in shown), *KEPT.values()])


def log_tables(section: Section) -> list[str]:
    """Tables of the values that methods log (gates, tau), mean over seeds per session."""
    tables = []
    for records in section.variants.values():
        keys = sorted({key for record in records for session in record.sessions for key in session.log})
        if not keys:
            continue
        count = len(records[0].sessions)
        rows = []
        for key in keys:
            cells = []
            for number in range(count):
                values = [record.sessions[number].log[key] for record in records if key in record.sessions[number].log]
                cells.append(f"{np.mean(values):.3f}" if values else NONE)
            rows.append([key, *cells])
        header = [f"{label_of(records[0])}: own log, by session", *(str(number) for number in range(count))]
        tables.append(markdown(rows, header))
    return tables


def matrix_table(records: Sequence[Record]) -> str:
    """The accuracy matrix of one variant, mean over seeds."""
    count = len(records[0].sessions)
    matrices = [run_of(record).matrix for record in records]
    rows = []
    for t in range(count):
        means = [f"{np.mean([matrix[t][j] for matrix in matrices]):.2f}" for j in range(t + 1)]
        rows.append([str(t), *means, *[NONE] * (count - t - 1)])
    return markdown(rows, [f"{label_of(records[0])}: after session", *(f"of {j}" for j in range(count))])
