"""Turns studies into the runs that they need: each run once, ordered by seed, with the probes of all studies."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from benchmarks.metrics.catalogue import drawn
from benchmarks.planning.ledger import but_for_seed
from benchmarks.planning.plan import Request, Variant, identities, make_request, parted, stages
from benchmarks.planning.validation import effective
from benchmarks.records.identity import Identity
from benchmarks.system.errors import UsageError
from methods.contract.loading import load_method
from methods.contract.registry import MethodError, parse_variant
from protocols.messages import short, unknown
from protocols.schema import Protocol
from protocols.study import OWN_FIGURES, Study


@dataclass
class StudyRuns:
    """Runs, and the probes that they need, by `but_for_seed`."""

    runs: list[Identity] = field(default_factory=list)
    probes: dict[str, tuple[str, ...]] = field(default_factory=dict)


def study_runs(protocol: Protocol, studies: Sequence[Study], recipe: str | None, split: str | None, seeds: str | None) -> StudyRuns:
    """The runs and probes of studies on a protocol. Raises UsageError or MethodError if a study does not fit the protocol."""
    wanted: dict[str, Identity] = {}
    probes: defaultdict[str, list[str]] = defaultdict(list)
    for study in studies:
        check_figures(study)
        runs_of_study = identities(study_request(protocol, study, recipe, split, seeds))
        of_first_seed = runs_of_study[: len(study.variants)]
        refuse_duplicates(study, [str((one.method, one.preset, one.config, one.base_session)) for one in of_first_seed])
        for identity in runs_of_study:
            wanted.setdefault(f"{but_for_seed(identity)}/{identity.seed}", identity)
            probes[but_for_seed(identity)] += study.probes
    runs = sorted(wanted.values(), key=lambda identity: identity.seed)  # all runs of a seed share a base model and its features
    return StudyRuns(runs, {of: tuple(dict.fromkeys(names)) for of, names in probes.items()})


def study_request(protocol: Protocol, study: Study, recipe: str | None, split: str | None, seeds: str | None) -> Request:
    """Request for a study's variants on a protocol. Raises UsageError or MethodError with the name of a variant that does not fit."""
    if recipe not in (None, study.recipe or recipe):
        raise UsageError(f"study {study.name} is made for recipe {study.recipe}; leave --recipe out")
    request = make_request(protocol, recipe or study.recipe, split, study.seeds if seeds is None else seeds, "base_only", [])
    variants: list[Variant] = []
    for variant in study.variants:
        where = f"study {study.name}, {short(variant.label)}"
        try:
            entry, preset, kind = parse_variant(variant.method)
        except MethodError as error:
            raise UsageError(f"{where}: {error}") from None
        own, of_kinds = parted(variant.set)
        effective(protocol, request.recipe, entry.name, preset, own, where)
        stages(protocol, request.recipe, load_method(entry.name), kind or load_method(entry.name).own_base(preset), of_kinds, where)
        variants.append((entry.name, preset, kind))
    return replace(request, variants=tuple(variants), changes=tuple(variant.set for variant in study.variants))


def check_figures(study: Study) -> None:
    """Raises UsageError for an unknown figure."""
    known = [*drawn(), *OWN_FIGURES]
    for name in study.figures:
        if name not in known:
            raise UsageError(f"study {study.name}, figures: {unknown('figure', name, known)}")


def refuse_duplicates(study: Study, what_they_are: Sequence[str]) -> None:
    """Raises UsageError if two variants have the same method, preset and parameters, which can depend on the recipe."""
    labels: dict[str, str] = {}
    for variant, what in zip(study.variants, what_they_are, strict=True):
        if (same := labels.setdefault(what, variant.label)) != variant.label:
            raise UsageError(f"study {study.name}, {short(variant.label)}: is the same as {short(same)}")
