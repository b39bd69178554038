"""Published rows in a report: whether they were reproduced, how they were obtained, and those that were not measured here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from benchmarks.metrics.statistics import FEWEST_TO_TEST
from benchmarks.records.identity import Identity
from benchmarks.records.schema import Record
from benchmarks.report.cells import NONE, intervals
from benchmarks.report.command import command_of
from benchmarks.report.frame import label_of
from benchmarks.report.section import Section
from benchmarks.report.tables import average_and_drop, markdown, printed
from benchmarks.report.verdict import BASE_LEVEL, LOOSEST, WORDS, Verdict, judge, other_base, other_network
from protocols import load_protocol, protocol_names
from protocols.backbones import in_words
from protocols.features import seen_in_words, seen_of
from protocols.printed import PublishedRow
from protocols.schema import Backbone, Data, Protocol

RULE = (
    'Verdict rule. *Not comparable*: another network or pre-training (such rows stand under "Printed elsewhere"), base accuracies more '
    f"than {BASE_LEVEL:.0f} points apart, or no printed base. Where possible, last accuracy − A_0 · base / seen classes is then given for "
    "both. *Reproduced*: the printed last accuracy is within its stated tolerance, or inside our 95 % interval of at most "
    f"± {LOOSEST:.0f}. *Undecided*: no printed last accuracy; inside a wider interval; or no interval (fewer than {FEWEST_TO_TEST} seeds, "
    f"or all seeds gave the same predictions), no stated tolerance and a gap of at most {LOOSEST:.0f}. *Differs*: everything else; the gap "
    "is measured − printed, in points. Class order and choice of epoch are notes only."
)
ALL_IMAGES = (
    " Here every session brings all images of its classes, so base accuracy does not dominate the result, and a missing printed base does "
    "not prevent a comparison."
)
ELSEWHERE = (
    "In the order of their sources: never ranked, never in a test, never bold. A table holds rows of one network and "
    'start only. A base accuracy with "here" is the mean over all runs above, comparable within three points.'
)


def stands_beside(row: PublishedRow, section: Section) -> bool:
    """Whether a published row stands beside a row of the section."""
    return any(printed(row, records[0]) for records in section.variants.values())


def printed_lines(section: Section, published: Sequence[PublishedRow]) -> list[str]:
    """Lines about published rows, which follow the section's own tables."""
    pairs = [(row, variant) for variant, records in section.variants.items() for row in published if printed(row, records[0])]
    beside = list(dict.fromkeys(row for row, _ in pairs))  # a row may belong to several variants
    others = [row for row in published if row not in beside]
    lines: list[str] = []
    if pairs:
        lines += ["### What was printed, and whether it held", "", *verdict_table(section, pairs), ""]
        lines += ["### What the published rows stand on", "", stands_on(beside), ""]
    if others:
        base = float(section.frame.loc[section.frame["session"] == 0, "accuracy"].mean())
        identity = section.records[0].identity
        backbone = identity.backbone
        network = (backbone.name, backbone.pretrained)

        def comparable(row: PublishedRow) -> str:
            apart = other_network(row, backbone) or other_base(row, base, identity.sessions)
            return f"no: {apart}" if apart else "yes; not run here" if row.method else "yes"

        lines += ["### Printed elsewhere", "", ELSEWHERE, "", *by_network(others, network, comparable)]
    return lines


def network_of(identity: Identity) -> str:
    """A run's network, with width and parameters; or that whose features were stored."""
    features = identity.data.features
    return in_words(identity.backbone.name, identity.data.channels) if features is None else f"none, on {features.in_words}"


def origin_of(backbone: Backbone, data: Data) -> str:
    """Where a backbone's first weights come from, and whether they have seen the novel classes of these data."""
    if data.features is not None:
        return data.features.in_words
    if backbone.pretrained is None:
        return "from scratch"
    file = f" (`{backbone.weights.file}`, sha256 {backbone.weights.sha256[:16]})" if backbone.weights else ""
    stated = backbone.weights.novel_seen if backbone.weights else None
    return f"pre-trained on {backbone.pretrained}{file}, {seen_in_words(seen_of(data.source, backbone.pretrained, stated))}"


def nobody_lines(protocol: Protocol, published: Sequence[PublishedRow], run: Sequence[str]) -> list[str]:
    """The whole report of a protocol that has published rows and no record. `run`: protocols that have some."""
    others = [load_protocol(name) for name in protocol_names() if name != protocol.name]
    elsewhere = [other.name for other in others if other.printed == protocol.name and other.data.features is None]
    pages = [f"[{name}.md]({name}.md)" if name in run else f"`{name}`" for name in elsewhere]
    links = [f"On another network: {', '.join(pages)}.", ""] if pages else []
    return [
        f"# {protocol.title}",
        "",
        f"**Nobody has run this protocol yet: no number below was measured here.** `{command_of(protocol)}` runs it; "
        "with `--plan` it says beforehand what that would take. Its images: docs/DATA.md.",
        "",
        *links,
        *not_run_lines(protocol, published),
    ]


def not_run_lines(protocol: Protocol, published: Sequence[PublishedRow]) -> list[str]:
    """Lines on published rows of which nothing was run here."""
    backbone = protocol.backbone

    def comparable(row: PublishedRow) -> str:
        apart = other_network(row, backbone)
        return f"no: {apart}" if apart else "open: not run"

    return ["## Printed elsewhere", "", ELSEWHERE, "", *by_network(published, (backbone.name, backbone.pretrained), comparable)]


def verdict_table(section: Section, pairs: Sequence[tuple[PublishedRow, str]]) -> list[str]:
    """Summary of the verdicts, a table with one row per published row and variant, and the rule."""
    verdicts = [judge(row, section.variants[variant]) for row, variant in pairs]
    counts = Counter(verdict.word for verdict in verdicts)
    summary = f"{len(verdicts)} comparison{'s' * (len(verdicts) > 1)}: " + ", ".join(f"{word} {counts[word]}" for word in WORDS) + "."
    rows = [verdict_row(section, row, variant, verdict) for (row, variant), verdict in zip(pairs, verdicts, strict=True)]
    header = ["Method", "Published row", "Printed last", "Measured last", "Gap", "Verdict", "Notes"]
    unprinted = section.records[0].identity.sessions.shots == "all" and any(row.base_accuracy is None for row, _ in pairs)
    return [summary, "", markdown(rows, header), "", RULE + (ALL_IMAGES if unprinted else "")]


def verdict_row(section: Section, row: PublishedRow, variant: str, verdict: Verdict) -> list[str]:
    record, number = section.variants[variant][0], row.accuracy[-1]
    last, gap = (NONE, NONE) if number is None else (f"{number:.2f}", f"{verdict.gap:+.2f}")
    of_variant = section.curves(variant)
    notes = notes_on(row, record) + (on_the_way(row, of_variant.mean().tolist()) if verdict.word == "reproduced" else [])
    measured = intervals(variant, of_variant.iloc[:, -1:])
    return [label_of(record), f"{row.label}, {row.source}", last, *measured, gap, str(verdict), "; ".join(notes) or NONE]


def on_the_way(row: PublishedRow, measured: Sequence[float]) -> list[str]:
    """Note on the session with the largest gap, if it exceeds LOOSEST points: two curves may agree at the end and differ before."""
    gaps = {t: ours - theirs for t, (ours, theirs) in enumerate(zip(measured, row.accuracy, strict=True)) if theirs is not None}
    far = max(gaps, key=lambda t: abs(gaps[t]))
    return [f"but session {far} is off by {gaps[far]:+.2f}"] if abs(gaps[far]) > LOOSEST else []


def notes_on(row: PublishedRow, record: Record) -> list[str]:
    """Notes for the reader that do not affect the verdict."""
    notes = []
    if row.split == "unknown":
        notes.append("printed on an unknown split")
    elif row.split != record.identity.split:
        notes.append(f"printed on {row.split}, measured on {record.identity.split}")
    if row.selection.startswith("test") and record.selection != "oracle_test":
        notes.append("printed with epochs chosen on test images")
    return notes + (["misprint, see below"] if row.misprint else [])


def stands_on(rows: Sequence[PublishedRow]) -> str:
    header = ["Published row", "Source", "Backbone", "Split", "Repeats", "Epoch chosen on", "Note", "Misprint"]
    return markdown([[row.label, row.source, row.network, *facts(row)] for row in rows], header)


def facts(row: PublishedRow) -> list[str]:
    return [row.split, row.seeds, row.selection, row.note or NONE, row.misprint or NONE]


def by_network(rows: Sequence[PublishedRow], ours: tuple[str, str | None], comparable: Callable[[PublishedRow], str]) -> list[str]:
    """One table per network and pre-training, ours first, each in source order."""
    networks = dict.fromkeys((row.backbone, row.pretrained) for row in rows)
    header = ["Published row", "Source", "First", "Last", "Average", "PD", "Comparable here"]
    header += ["Split", "Repeats", "Epoch chosen on", "Note", "Misprint"]
    lines = []
    for network in sorted(networks, key=lambda network: network != ours):
        of_network = [row for row in rows if (row.backbone, row.pretrained) == network]
        title = f"**{network[0]}, {f'pre-trained on {network[1]}' if network[1] else 'from scratch'}**"
        cells = [[row.label, row.source, *figures(row), comparable(row), *facts(row)] for row in of_network]
        lines += [title + (", the network of this protocol:" if network == ours else ":"), "", markdown(cells, header), ""]
    return lines


def figures(row: PublishedRow) -> list[str]:
    """Cells: first, last and average accuracy, PD."""
    ends = [row.accuracy[0], row.accuracy[-1]]
    return [NONE if value is None else f"{value:.2f}" for value in ends] + average_and_drop(row)


def of_length(published: Sequence[PublishedRow], columns: int) -> list[PublishedRow]:
    """The published rows with `columns` accuracies. Rows of another length belong to another protocol."""
    return [row for row in published if len(row.accuracy) == columns]
