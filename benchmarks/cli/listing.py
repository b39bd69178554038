"""What `--list` and `--plan` print."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from methods.contract.registry import MethodError, method_names, read_entry
from protocols import ProtocolError, load_protocol, protocol_names
from protocols.own_folder import own_folder
from protocols.seeds import in_words
from protocols.study import load_study, study_names

if TYPE_CHECKING:
    from benchmarks.planning.ledger import Ledger
    from benchmarks.records.identity import Identity


WIDEST, NARROWEST, OF_A_PIPE = 48, 24, 160
"""Columns: at most for a cell that is not the last, at least for the last, and of a line where there is no terminal."""


def listing(width: int = OF_A_PIPE) -> str:
    """Text listing protocols, methods and studies in lines of `width` characters, read without importing torch. An entry that cannot be
    read shows its error."""
    protocols = [["Protocol", "Recipes", "Splits", "What it is"]]
    for name in protocol_names():
        try:
            p = load_protocol(name)
            recipes = [p.recipe, *(recipe for recipe in p.recipes if recipe != p.recipe)]
            protocols.append([name, ", ".join(recipes), ", ".join(p.splits), p.title])
        except ProtocolError as error:
            protocols.append([name, "", "", str(error)])
    methods = [["Method", "Presets", "What it is"]]
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in method_names():
        try:
            entry = read_entry(name)
            methods.append([name, ", ".join(entry.presets), entry.summary])
            groups[entry.group].append(name)
        except MethodError as error:
            methods.append([name, "", str(error)])
    named = [["Group", "Methods"], *([group, ", ".join(groups[group])] for group in sorted(filter(None, groups)))]
    studies = [["Study", "What it shows"]]
    for name in study_names():
        try:
            studies.append([name, load_study(name).title])
        except ProtocolError as error:
            studies.append([name, str(error)])
    own = own_folder()
    parts = [grid(protocols, width), grid(methods, width)] + ([grid(named, width)] if len(named) > 1 else []) + [grid(studies, width)]
    notes = ["Of recipes, splits and presets, the first is the default."]
    notes += ["Methods of a group take part only when asked, by name or with --methods GROUP; their page is GROUP.<protocol>.md."] * (
        len(named) > 1
    )
    notes += [f"Your own methods are in {own}."] * (own is not None)
    return "\n\n".join([*parts, "\n".join(line for note in notes for line in textwrap.wrap(note, width))])


def grid(rows: Sequence[Sequence[str]], width: int) -> str:
    """A table of text, headings first. Cells are wrapped, so that no line has more than `width` characters where that can be."""
    natural = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = width - 2 - natural[0] - 2 * (len(natural) - 1)
    middle = min(WIDEST, max(NARROWEST // 2, (room - NARROWEST) // max(1, len(natural) - 2)))
    widths = [natural[0], *(min(most, middle) for most in natural[1:-1])]
    widths.append(max(NARROWEST, room - sum(widths[1:])))
    text = []
    for number, row in enumerate(rows):
        heading = 2 if number == 0 else 0
        cells = [textwrap.wrap(cell, own, break_on_hyphens=False) or [""] for cell, own in zip(row, widths, strict=True)]
        for line in zip_longest(*cells, fillvalue=""):
            first, *others = (cell.ljust(own) for cell, own in zip(line, widths, strict=True))
            text.append("  ".join([" " * (2 - heading) + first + " " * heading, *others]).rstrip())
    return "\n".join(text)


def warnings_on(runs: Sequence[Identity], ledger: Ledger) -> list[str]:
    """Lines on what a reader of these runs' table would not see in it: edited sources, and base models that differ."""
    from benchmarks.planning.preflight import edited_lines

    return [*edited_lines(runs, ledger), *bases_apart(runs)]


def bases_apart(runs: Sequence[Identity]) -> list[str]:
    """A line for each base kind on which runs of one recipe stand with different settings, so that their base models differ."""
    kinds: dict[tuple[str, str], dict[str, dict[str, Identity]]] = {}  # recipe and kind -> its settings -> variants, with a run of each
    for run in runs:
        kinds.setdefault((run.recipe, run.base), {}).setdefault(repr(run.stages), {})[run.variant] = run
    several = {kind: of_kind.values() for (_, kind), of_kind in kinds.items() if len(of_kind) > 1}
    if not several:
        return []
    from benchmarks.report.bases import in_words

    return [
        f"base kind {kind} has several settings here, and so as many base models: "
        + "; ".join(f"{', '.join(variants)} on {in_words(next(iter(variants.values())))}" for variants in of_kind)
        for kind, of_kind in several.items()
    ]


def plan_text(runs: Sequence[Identity], ledger: Ledger, workers: int) -> str:
    """Text listing the runs still to do, with a time estimate from the costs of earlier runs of the same variants."""
    from benchmarks.planning.costs import seconds_before
    from benchmarks.sweeping.estimate import readable

    missing = ledger.missing(runs)
    first, recipes = runs[0], list(dict.fromkeys(identity.recipe for identity in runs))
    several = len(recipes) > 1
    lines = [
        f"{first.protocol}, recipe {', '.join(recipes)}, split {first.split}, {in_words(identity.seed for identity in runs)}: "
        f"{len(runs)} runs, {len(runs) - len(missing)} done, {len(missing)} to do"
    ]
    if not missing:
        return lines[0]
    lines += [f"  {identity.name(with_recipe=several)}" for identity in missing]
    before = seconds_before(runs, ledger)
    unknown = {identity.variant for identity in missing} - before.of_variants.keys()
    if all(identity.variant in unknown for identity in missing):
        return "\n".join([*lines, "no estimate: none of these has been run here before"])
    crew = f"{workers} worker{'s' if workers > 1 else ''}"
    lines.append(f"estimate: {readable(before.of(missing) / workers)} with {crew}, if no base session is cached")
    if unknown:
        lines.append(f"  without {', '.join(sorted(unknown))}, never run here")
    return "\n".join(lines)
