"""From the names of studies to the runs they need: each once, seed by seed, with all that any of them looks at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.metrics.catalogue import drawn
from benchmarks.planning.plan import identities, study_request
from benchmarks.records.identity import Identity
from benchmarks.system.errors import UsageError
from protocols.messages import short, unknown
from protocols.schema import Protocol
from protocols.study import OWN_FIGURES, Study


@dataclass
class StudyRuns:
    """Runs, and by variant the probes that watch them."""

    runs: list[Identity] = field(default_factory=list)
    probes: dict[str, tuple[str, ...]] = field(default_factory=dict)


def study_runs(protocol: Protocol, studies: Sequence[Study], recipe: str | None, split: str | None, seeds: str | None) -> StudyRuns:
    """Raises UsageError or MethodError where a study does not fit the protocol."""
    wanted: dict[str, Identity] = {}
    probes: defaultdict[str, list[str]] = defaultdict(list)
    for study in studies:
        check_figures(study)
        runs_of_study = identities(study_request(protocol, study, recipe, split, seeds))
        of_first_seed = runs_of_study[: len(study.variants)]
        refuse_duplicates(study, [str((one.method, one.preset, one.config)) for one in of_first_seed])
        for identity in runs_of_study:
            wanted.setdefault(f"{identity.group}/{identity.variant}/{identity.seed}", identity)
            probes[identity.variant] += study.probes
    runs = sorted(wanted.values(), key=lambda identity: identity.seed)  # a base and its features serve all runs of a seed
    return StudyRuns(runs, {variant: tuple(dict.fromkeys(names)) for variant, names in probes.items()})


def check_figures(study: Study) -> None:
    """Raises UsageError for a figure that nobody can draw."""
    known = [*drawn(), *OWN_FIGURES]
    for name in study.figures:
        if name not in known:
            raise UsageError(f"study {study.name}, figures: {unknown('figure', name, known)}")


def refuse_duplicates(study: Study, what_they_are: Sequence[str]) -> None:
    """Raises UsageError where two variants are one and the same. A recipe may make them so that another tells apart."""
    labels: dict[str, str] = {}
    for variant, what in zip(study.variants, what_they_are, strict=True):
        if (same := labels.setdefault(what, variant.label)) != variant.label:
            raise UsageError(f"study {study.name}, {short(variant.label)}: is the same as {short(same)}")
