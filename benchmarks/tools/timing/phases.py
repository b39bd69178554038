"""The wall time of a table on a card, by phases: measured with short base sessions and few seeds, and scaled to the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from benchmarks.data.images import load_images
from benchmarks.report.tables import markdown
from benchmarks.system.errors import DataError
from benchmarks.system.settings import Settings
from benchmarks.tools.card_check import Outcome, parser, phases_of, run_phases
from protocols.schema import Protocol

SHORT = 3
"""Epochs of a base session that stands for a whole one."""
FEW = 2
"""Seeds whose sessions stand for those of all."""


def shortened(protocol: Protocol, recipe: str, folder: Path) -> Path:
    """A file of the protocol with base sessions of `SHORT` epochs in this recipe; all else is as it was."""
    content = protocol.model_dump(mode="json", exclude_unset=True)
    content["recipes"][recipe] |= {"epochs": SHORT, "milestones": []}
    path = folder / f"{protocol.name}.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")  # not JSON, whose 9e-05 is a text in YAML
    return path


def table_by_phases(protocol: Protocol, recipe: str, settings: Settings, seeds: int, rate: float | None, seconds: float) -> str:
    """Seconds of each phase of a table of `seeds` seeds, all default methods but Joint-CNN, in at most `seconds`.

    `rate` is that of the base sessions in images/s; without it they are not scaled. The results folder of `settings` is filled.
    """
    try:
        load_images(protocol.data, settings.data_root)
    except DataError as error:
        return f"The wall time of a table was not measured: {error}"
    path = shortened(protocol, recipe, settings.results)
    options = parser().parse_args(["--recipe", recipe, "--seeds", f"0-{seeds - 1}"])
    phases = phases_of(protocol, str(path), options, replace(settings, results=settings.results / "card"))[:-1]
    of_all, of_few = f"0-{seeds - 1}", f"0-{FEW - 1}"
    phases[1] = replace(phases[1], command=tuple(of_few if word == of_all else word for word in phases[1].command))
    return table_of(run_phases(phases, seconds), protocol, recipe, seeds, rate)


def table_of(outcomes: Sequence[Outcome], protocol: Protocol, recipe: str, seeds: int, rate: float | None) -> str:
    """The measured seconds beside those of a whole table."""
    epochs, canonical = protocol.recipes[recipe].epochs, protocol.canonical
    shown = canonical.base_train if canonical else None
    rows = []
    for number, one in enumerate(outcomes):
        whole: float | None = one.seconds
        if number == 0:
            whole = None if rate is None or shown is None else one.seconds + (epochs - SHORT) * seeds * shown / rate
        elif number == 1:
            whole = one.seconds * max(1.0, seeds / FEW)
        rows.append([one.title, one.ended, f"{one.seconds:.0f}", "–" if whole is None or one.ended != "done" else f"{whole:.0f}"])
    measured = f"measured (s): {SHORT} epochs, sessions of {FEW} seeds"
    return markdown(rows, [f"{protocol.name}, {recipe}, {seeds} seeds", "ended", measured, f"whole: {epochs} epochs, {seeds} seeds (s)"])
