"""Rows of modern methods (protocols/published/modern.<protocol>.yaml) against the reference list, value by value."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from methods.contract.registry import read_entry
from methods.parts.backbones import BACKBONES
from protocols import load_protocol, load_published, loading
from protocols.printed import check_rows

PROTOCOLS = {"cifar100": "cifar100", "cub200": "cub200", "miniimagenet": "mini"}
OTHER_NETWORKS = {"resnet12", "resnet18-like", "unknown"}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_rows_fit_their_protocol_and_name_methods_that_there_are(name: str) -> None:
    rows = load_published(f"modern.{name}")
    check_rows(Path(f"modern.{name}.yaml"), rows, load_protocol(name))
    older = {(row.label, row.accuracy) for row in load_published(name)}
    for row in rows:
        assert row.backbone in {*BACKBONES, *OTHER_NETWORKS}, row.label
        assert row.pretrained == ("imagenet" if row.backbone == "resnet18" and name == "cub200" else None), row.label
        assert row.method is None or set(row.presets) <= set(read_entry(row.method).presets), row.label
        assert (row.label, row.accuracy) not in older, "stands on the older page"
    assert sorted(path.stem for path in (loading.FOLDER / "published").glob("modern.*")) == [f"modern.{name}" for name in sorted(PROTOCOLS)]


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_row_of_the_reference_to_the_digit(name: str, shared: Callable[[str], Path]) -> None:
    """In its order: all but vision transformers, averages alone, and the one that is a row of the older list."""
    with shared("../reference/modern_rows.csv").open(newline="", encoding="utf-8") as source:
        listed = [row for row in csv.DictReader(source) if row["dataset"] == PROTOCOLS[name] and "ViT" not in row["backbone"]]
    columns = load_protocol(name).sessions.count + 1
    values = [tuple(float(row[f"s{s}"]) if row[f"s{s}"] else None for s in range(columns)) for row in listed]
    expected = [
        (row, curve)
        for row, curve in zip(listed, values, strict=True)
        if any(curve) and (row["dataset"], row["method"]) != ("cifar100", "WaRP")
    ]
    listed_here = {(of["method"], curve) for of, curve in expected}
    rows = [row for row in load_published(f"modern.{name}") if (row.label, row.accuracy) in listed_here]  # others: test_printed.py
    assert [(row.label, row.accuracy) for row in rows] == [(of["method"], curve) for of, curve in expected]
    for row, (of, curve) in zip(rows, expected, strict=True):
        if of["avg"] and None not in curve:
            assert np.mean([value for value in curve if value is not None]) == pytest.approx(float(of["avg"]), abs=0.0151), row.label
        if of["pd"] and curve[0] is not None and curve[-1] is not None:
            assert curve[0] - curve[-1] == pytest.approx(float(of["pd"]), abs=0.0101), row.label
        assert ("unverified" in of["backbone"] or "mixed" in of["backbone"]) == (row.backbone == "unknown"), row.label
