"""Studies: variants of methods compared with one of them, on any protocol. Each is one YAML file of protocols/studies/."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator, model_validator

from protocols.fields import Line, Name, Strict, Text, once_each
from protocols.loading import as_asked, load_named
from protocols.messages import unknown
from protocols.reading import ProtocolError, names_in, short
from protocols.schema import TitledFile
from protocols.seeds import parse_seeds

FOLDER = Path(__file__).parent / "studies"
PROBES_OF = {"fit": ("fit",), "gates": ("epochs",), "drift": ("drift",), "tsne": ("tsne",)}
"""Probes that a figure needs beside records (benchmarks.running.probes)."""

OWN_FIGURES = ("axis", "fit", "sessions", "gate_function", "gates", "drift", "tsne")
"""Figures other than those of metrics. Every metric of benchmarks/metrics/catalogue.py with a `figure` is a figure, too."""


class StudyVariant(Strict):
    """One variant: a method with its preset, and the parameters that are changed."""

    label: Line
    method: Line
    set: dict[str, Any] = {}


class Study(TitledFile):
    """Variants of methods, the reference that the others are compared with, and the figures.

    `also_against` names further references, for studies about the order of the variants.
    `axis` names the parameter whose values are the labels; a label that is not a number (a learned value) is a horizontal line.
    `seeds` replaces the protocol's, e.g. if one is enough, as for an embedding. `recipe` is one that the study is made for: it runs
    under no other, and protocols without it do not have the study. `claim` is what a paper says about it.
    """

    claim: Text = ""
    reference: Line
    also_against: Annotated[tuple[Line, ...], AfterValidator(once_each)] = ()
    variants: tuple[StudyVariant, ...] = Field(min_length=1, max_length=100)
    axis: Line | None = None
    seeds: str | None = None
    recipe: Name | None = None
    figures: Annotated[tuple[Name, ...], AfterValidator(once_each)] = ("accuracy",)

    @field_validator("seeds")
    @classmethod
    def _are_seeds(cls, seeds: str | None) -> str | None:
        if seeds is not None:
            parse_seeds(seeds)
        return seeds

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        labels = [variant.label for variant in self.variants]
        once_each(tuple(labels))
        for key, named in (("reference", (self.reference,)), ("also_against", self.also_against)):
            for label in named:
                if label not in labels:
                    raise ValueError(f"{key}: {unknown('variant', label, labels)}")
        once_each(self.references)
        if self.axis is None and (drawn := {"axis", "fit", "sessions"}.intersection(self.figures)):
            raise ValueError(f"axis must be given with figures {', '.join(sorted(drawn))}: it is what they are drawn over")
        return self

    @property
    def references(self) -> tuple[str, ...]:
        return (self.reference, *self.also_against)

    @property
    def probes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(probe for figure in self.figures for probe in PROBES_OF.get(figure, ())))


def study_as_asked(name: str) -> str:
    """A study as a command names it."""
    return as_asked(name, FOLDER)


def study_names() -> list[str]:
    return names_in(FOLDER)


def load_studies(text: str) -> list[Study]:
    """Loads studies from names such as `gamma,tau`, without repeats. Raises ProtocolError."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise ProtocolError(f"--study {short(text)}: a name is empty; write them with one comma between two")
    return [load_study(name) for name in dict.fromkeys(names)]


def load_study(name: str) -> Study:
    """The study of that name in studies/, or of the YAML file at that path. Raises ProtocolError with file and key."""
    return load_named(name, FOLDER, "study", Study)
