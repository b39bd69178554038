"""results/<protocol>.md and results/<protocol>.costs.md, from the records alone."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.metrics.accuracy import sampling_half_width
from benchmarks.metrics.statistics import FEWEST_TO_RESAMPLE
from benchmarks.planning.studies import studied
from benchmarks.records.failures import FailedRun
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.report.compare import comparison
from benchmarks.report.definitions import EXPLAINED, definitions_table
from benchmarks.report.frame import label_of
from benchmarks.report.printed import nobody_lines, printed_lines
from benchmarks.report.section import Section
from benchmarks.report.tables import accuracy_table, cost_table, final_table, legend, log_tables, matrix_table
from benchmarks.system.errors import RecordError
from benchmarks.system.files import write_atomic
from protocols import load_published
from protocols.printed import PublishedRow
from protocols.schema import Protocol
from protocols.study import study_names

COSTS_INTRO = (
    "Means over seeds; they differ from run to run. Base: only runs that trained it, the others found it in the cache. "
    "Testing: images whose features the process still remembered from the same backbone cost nothing. Memory: the highest "
    "of the process so far (of the GPU, where there is one, during the run)."
)
MATRIX_INTRO = (
    "Row t, column j: after session t, accuracy in percent on the test images of the classes that session j brought, predicted among "
    "all classes seen. Means over seeds."
)
CLEAN = "The last epoch is used everywhere: the test set chooses nothing."
ORACLE = (
    "**† Test images chose when each session of this row ended, as in the published practice: not comparable with the rest.** "
    "Everywhere else the last epoch is used, and the test set chooses nothing."
)
PAPER_ORDER = ("base_only", "ft_cnn", "joint_cnn", "icarl", "eeil", "ncm", "topic", "si", "lwf", "der", "lecnet", "proto")


def write_report(protocol: Protocol, results: Path, command: str | None = None) -> list[Path]:
    """Write the files and return their paths. `command` is what the head of the table says wrote it.

    Where there is no record at all, of the printed rows alone; raises RecordError where there are none of these either.
    """
    command = command or f"python run_all.py --protocol {protocol.name} --report-only"
    store = Store(results)
    records, faults, failures = store.load(protocol.name)
    published = load_published(protocol.name)
    table = results / f"{protocol.name}.md"
    if not (records or faults or failures):
        if shown := of_length(published, protocol.sessions.count + 1):
            return [written(table, nobody_lines(protocol, shown))]
        raise RecordError(f"{store.root / protocol.name}: no records yet; run `python run_all.py --protocol {protocol.name}` first")
    elsewhere = studied(protocol, [name for name in study_names() if study_page(protocol, name, results).exists()])
    of_studies = {elsewhere[record.identity.variant] for record in records if record.identity.variant in elsewhere}
    records = [record for record in records if record.identity.variant not in elsewhere]
    sections, mixed = make_sections(protocol, records, [failed for failed in failures if failed.variant not in elsewhere])
    lines = [f"# {protocol.title}", "", intro(protocol, command, records)]
    for section in sections:
        lines += section_lines(section, published)
    lines += notes("Studies of these methods' parameters", [study_line(protocol, name) for name in sorted(of_studies)])
    lines += notes("Runs that failed, and are in no mean", [str(failed) for failed in failures])
    lines += notes("Records that cannot be used, and are in no mean", faults + mixed)
    return [written(table, lines), *write_matrices(protocol, sections, results), *write_costs(protocol, store, sections, results)]


def study_page(protocol: Protocol, study: str, results: Path) -> Path:
    """Where it is there, it has the study's variants, and the protocol's table leaves them to it."""
    return results / f"{protocol.name}.study-{study}.md"


def study_line(protocol: Protocol, study: str) -> str:
    page = study_page(protocol, study, Path()).name
    return f"[{page}]({page}), written by `python run_all.py --protocol {protocol.name} --study {study}`"


def written(path: Path, lines: Sequence[str]) -> Path:
    write_atomic(path, ("\n".join(lines).rstrip() + "\n").encode())
    return path


def intro(protocol: Protocol, command: str, records: Sequence[Record]) -> str:
    return (
        f"Written by `{command}` from the records in "
        f"`records/{protocol.name}/`. Accuracy is top-1 in percent over all classes seen so far, one head, no task label. "
        "Means over seeds ± their 95 % interval by bootstrap over seeds (expanded percentiles; where its sides differ, the wider); "
        f"below {FEWEST_TO_RESAMPLE} seeds, which no bootstrap can serve, Student's; for one seed, none. "
        + (ORACLE if any(record.selection == "oracle_test" for record in records) else CLEAN)
        + f" Accuracy by session of origin, and by other papers' definitions: [{protocol.name}.matrix.md]({protocol.name}.matrix.md), "
        f"seconds and memory: [{protocol.name}.costs.md]({protocol.name}.costs.md)." + (f" {protocol.notes}" if protocol.notes else "")
    )


def make_sections(protocol: Protocol, records: Sequence[Record], failures: Sequence[FailedRun]) -> tuple[list[Section], list[str]]:
    """Records by recipe, split and what lies behind these names; one table never mixes two.

    Recipes and splits come in the protocol's order. A variant whose seeds differ in anything but the seed is named and left out.
    """
    groups: dict[tuple[str, str, str], dict[str, list[Record]]] = {}
    for record in records:
        identity = record.identity
        measured_on = identity.model_dump_json(include={"suite", "data", "augment", "sessions", "backbone", "recipe_settings"})
        origin = record.images_sha256.partition(" ")[0]  # pseudo-sessions differ from seed to seed behind it
        measured_on += f" {origin} {record.environment.get('precision')}"
        variants = groups.setdefault((identity.recipe, identity.split, measured_on), {})
        variants.setdefault(identity.variant, []).append(record)
    sections, mixed = [], []
    names = Counter((recipe, split) for recipe, split, _ in groups)
    for recipe, split, measured_on in sorted(groups, key=lambda at: (place(at[0], protocol.recipes), place(at[1], protocol.splits), at[2])):
        variants, kept = groups[recipe, split, measured_on], {}
        for variant in sorted(variants, key=lambda name: (place(name.partition(":")[0], PAPER_ORDER), name)):
            of_variant = sorted(variants[variant], key=lambda record: record.identity.seed)
            identities = {record.identity.model_copy(update={"seed": 0}).model_dump_json() for record in of_variant}
            if len(identities) > 1:
                mixed.append(f"{recipe}.{split}, {variant}: its seeds were run with different settings; run it again")
            else:
                kept[variant] = of_variant
        if kept:
            several = names[recipe, split] > 1  # the same names, but other data, settings or precision behind them
            digest = hashlib.sha256(measured_on.encode()).hexdigest()[:8] if several else ""
            failed = [run for run in failures if run.where == f"{recipe}.{split}"]
            sections.append(Section(recipe, split, kept, digest, failed))
    return sections, mixed


def place(name: str, order: Iterable[str]) -> tuple[int, str]:
    """Of a name in this order; what is not in it comes last, by its letters."""
    names = list(order)
    return names.index(name) if name in names else len(names), name


def section_lines(section: Section, published: Sequence[PublishedRow]) -> list[str]:
    published = of_length(published, section.records[0].identity.sessions.count + 1)
    lines = ["", f"## {section.name}", "", "### Accuracy after each session", ""]
    lines += [accuracy_table(section, published), "", legend(section), ""]
    lines += ["### After the last session", "", final_table(section), ""]
    lines += ["### Who is ahead, paired over seeds", "", comparison(section), ""]
    for table in log_tables(section):
        lines += [table, ""]
    lines += printed_lines(section, published)
    return [*lines, "### What these numbers stand on", "", *provenance(section), ""]


def of_length(published: Sequence[PublishedRow], columns: int) -> list[PublishedRow]:
    """Rows of another number of sessions are of another protocol."""
    return [row for row in published if len(row.accuracy) == columns]


def provenance(section: Section) -> list[str]:
    """Seeds, holes, versions, base recipe: one bullet each."""
    records = section.records
    seeds = section.seeds
    lines = [f"- Seeds: {', '.join(map(str, seeds))}; one class order and one draw of shots a seed where the split says so."]
    for of_variant in section.variants.values():
        missing = sorted(set(seeds) - {record.identity.seed for record in of_variant})
        if missing:
            lines.append(f"- **{label_of(of_variant[0])} lacks seed {', '.join(map(str, missing))}**: its mean is over the others.")
    images = sum(records[0].sessions[-1].total)
    width = sampling_half_width(50.0, images)
    lines.append(f"- Beside the spread over seeds, {images:,} test images put ± {width:.2f} points (95 %) on a last accuracy near 50 %.")
    settings = records[0].identity.recipe_settings
    lines.append("- Base session: " + ", ".join(f"{key} {value}" for key, value in settings.items()) + ".")
    for of_variant in section.variants.values():
        if own := of_variant[0].identity.base_settings:
            changed = ", ".join(f"{key} {value}" for key, value in own.items())
            lines.append(f"- {label_of(of_variant[0])} starts from a base trained with {changed}.")
    backbone = records[0].identity.backbone
    lines.append(
        f"- Backbone: {backbone['name']}, " + (f"pre-trained on {backbone['pretrained']}." if backbone["pretrained"] else "from scratch.")
    )
    environments: dict[str, set[int]] = {}
    for record in records:
        text = ", ".join(f"{key} {value}" for key, value in record.environment.items())
        environments.setdefault(text, set()).add(record.identity.seed)
    lines += [f"- Run with {environment}." for environment in sorted(environments)]
    several = [seed for seed in seeds if sum(seed in of_environment for of_environment in environments.values()) > 1]
    if several:
        lines.append(f"- **Seed {', '.join(map(str, several))}: run in several of these, so not all methods start from one base model.**")
    lines.append(f"- Images: sha256 {', '.join(sorted({record.images_sha256[:16] for record in records}))}.")
    return lines


def notes(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *(f"- {line}" for line in lines)] if lines else []


def write_matrices(protocol: Protocol, sections: Sequence[Section], results: Path) -> list[Path]:
    lines = [f"# {protocol.title}: accuracy by session of origin", "", MATRIX_INTRO, ""]
    for section in sections:
        lines += [f"## {section.name}", "", "### By other definitions", "", definitions_table(section), "", EXPLAINED, ""]
        lines += ["### Session by session", ""]
        for records in section.variants.values():
            lines += [matrix_table(records), ""]
    if not sections:
        return []
    return [written(results / f"{protocol.name}.matrix.md", lines)]


def write_costs(protocol: Protocol, store: Store, sections: Sequence[Section], results: Path) -> list[Path]:
    lines = [f"# {protocol.title}: what it cost", "", COSTS_INTRO, ""]
    for section in sections:
        variants = {}
        for variant, records in section.variants.items():
            pairs = [(record, costs) for record in records if (costs := store.read_costs(record.identity)) is not None]
            if pairs:
                variants[variant] = pairs
        if variants:
            lines += [f"## {section.name}", "", cost_table(variants), ""]
    if len(lines) == 4:
        return []
    return [written(results / f"{protocol.name}.costs.md", lines)]
