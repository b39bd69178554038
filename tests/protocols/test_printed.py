"""What protocols/published/ holds, against the paper's own text and the reference list, value by value."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from methods.contract.registry import method_names, read_entry
from methods.parts.backbones import BACKBONES
from protocols import load_protocol, load_published, load_published_study, protocol_names
from protocols.printed import PublishedRow
from protocols.study import load_study

Shared = Callable[[str], Path]

TABLES = {"cub200": 4, "cifar100": 5, "miniimagenet": 7}  # of LEC-Net's paper; its Table 6 is seqmnist's
STUDIES = {"components": 1, "layers": 2, "gamma": 3}
OTHER_NETWORKS = {"resnet18-like", "quicknet"}  # docs/methods.md 1.6
NETWORKS = {
    "R20": "resnet20",
    "R12": "resnet12",
    "QuickNet": "quicknet",
    "R18 (3x3 stem)": "resnet18_3x3",
    "R18-like": "resnet18-like",
    "R18-3x3": "resnet18_3x3",
}
NETWORKS |= {"R18": "resnet18", "R18-IN": "resnet18", '"R18" (text)': "resnet20"}  # the last: docs/methods.md 5.5, no. 26
UNSTARRED = {"Ft-CNN", "iCaRL", "EEIL", "NCM"}  # of TOPIC's README on CUB: runs that its paper replaced
THIRD_PARTY = {"frozen prototypes (third-party control)"}  # Proto on bases of others
MEMORY = "from memory; "  # the reference's [M], with what was found to agree


def reference(name: str, shared: Shared) -> list[dict[str, str]]:
    short = {"miniimagenet": "mini"}.get(name, name)
    with shared("../reference/published_rows.csv").open(newline="", encoding="utf-8") as source:
        return [row for row in csv.DictReader(source) if row["dataset"] == short]


def rows_of(name: str) -> tuple[PublishedRow, ...]:
    """All rows of a data set: those of its own page, and those of the page of modern methods."""
    return (*load_published(name), *load_published(name, "modern"))


def older(name: str, expected: list[dict[str, str]]) -> list[PublishedRow]:
    """The rows of the older list in its order, wherever they stand."""
    found = {(row.label, row.accuracy): row for row in rows_of(name)}
    return [found[of["method"], curve(of)] for of in expected]


def curve(row: dict[str, str]) -> tuple[float, ...]:
    return tuple(float(row[f"s{session}"]) for session in range(11) if row[f"s{session}"])


def paper(shared: Shared) -> str:
    return shared("../reference/lecnet_paper.txt").read_text(encoding="utf-8")


def numbers_after(text: str, heading: str, line: str) -> list[float]:
    """The numbers of the first line that begins with these words, after a table's heading."""
    found = re.search(rf"^{re.escape(line)}((?: \d+\.\d+)+)$", text[text.index(heading) :], re.MULTILINE)
    assert found is not None, f"{heading}: no line {line!r}"
    return [float(number) for number in found[1].split()]


# What was printed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_the_reference_to_the_digit(name: str, shared: Shared) -> None:
    """Label, values, average and PD, network, source. (F2M's on CIFAR has a 3x3 stem: docs/methods.md 1.6.)"""
    expected = reference(name, shared)
    rows = older(name, expected)
    own = load_published(name)
    assert list(own) == [row for row in rows if row in own], "in its order"
    for row, of in zip(rows, expected, strict=True):
        assert row.accuracy == curve(of), row.label
        values = np.array(curve(of))
        assert values.mean() == pytest.approx(float(of["avg"]), abs=0.00501), row.label
        assert values[0] - values[-1] == pytest.approx(float(of["pd"]), abs=1e-9), row.label
        network = "resnet18-like" if (name, row.label) == ("cifar100", "F2M") else NETWORKS[of["backbone"]]
        assert (row.backbone, row.pretrained) == (network, "imagenet" if name == "cub200" else None), row.label
        if "seed T" in of["source"]:
            assert row.source == f"LEC-Net paper, Table {TABLES[name]}", row.label
        else:
            assert row.source.startswith(MEMORY if of["source"].startswith("[M") else of["source"].partition(" (plain")[0]), row.label


@pytest.mark.parametrize("name", TABLES)
def test_the_papers_tables_4_5_and_7_to_the_digit(name: str, shared: Shared) -> None:
    """Seven rows each, in the text of the paper itself."""
    text = paper(shared)
    heading = f"Table {TABLES[name]}. Performance "
    block = text[(start := text.index(heading, text.index(heading) if name == "miniimagenet" else 0)) : start + 1200]
    printed = re.findall(r"^([A-Za-z-]+)(?: \[\d+\]| \(ours\))?((?: \d+\.\d\d){9,11})$", block, re.MULTILINE)[:7]
    rows = [row for row in load_published(name) if row.source == f"LEC-Net paper, Table {TABLES[name]}"]
    assert [method for method, _ in printed] == ["Ft-CNN", "Joint-CNN", "iCaRL", "EEIL", "NCM", "TOPIC", "LEC-Net"]
    assert [tuple(float(number) for number in numbers.split()) for _, numbers in printed] == [row.accuracy for row in rows]
    assert [re.split(r"[* ]", row.label)[0] for row in rows] == [method for method, _ in printed]


def test_table_6_to_the_digit(shared: Shared) -> None:
    """One figure a method, after the last task."""
    rows = load_published("seqmnist")
    assert [row.label for row in rows] == ["SI", "LwF", "DER*", "LEC-Net"]
    assert all(value is None for row in rows for value in row.accuracy[:-1])
    assert [row.accuracy[-1] for row in rows] == numbers_after(paper(shared), "Table 6. Performance on general", "Accuracy")


def test_tables_1_2_and_3_to_the_digit(shared: Shared) -> None:
    text = paper(shared)
    tables = {name: load_published_study(name) for name in STUDIES}
    values = {name: table.values for name, table in tables.items() if table is not None}
    first = re.findall(r"^X (\d+\.\d\d)$", text[(start := text.index("Baseline LEC (NE)")) : start + 200], re.MULTILINE)
    assert values["components"] == dict(zip(["baseline", "NE", "NC", "SA"], map(float, first), strict=True))
    assert list(values["layers"].values()) == numbers_after(text, "Table 2. Ablation", "ACC")
    assert list(values["layers"]) == ["3x3 conv", "1x1 conv", "FC"]
    assert [float(label) for label in values["gamma"]] == numbers_after(text, "Table 3. Ablation", "γ")
    assert list(values["gamma"].values()) == numbers_after(text, "Table 3. Ablation", "ACC")
    for name, number in STUDIES.items():
        table = tables[name]
        assert table is not None
        assert (table.source, table.protocol, table.split) == (f"LEC-Net paper, Table {number}", "cub200", "lec")
        assert (table.backbone, table.pretrained) == ("resnet18", "imagenet")


@pytest.mark.parametrize(
    ("name", "label", "said"),
    [
        ("cifar100", "Ft-CNN", "39.61"),
        ("cifar100", "LEC-Net", "34.74"),
        ("cub200", "Ft-CNN", "10.06"),
        ("cub200", "TOPIC (AL+MML)", "26.26"),
        ("cub200", "TEEN", "18.13"),
        ("miniimagenet", "LIMIT (paper)", "49.49"),
    ],
)
def test_misprints_are_flagged(name: str, label: str, said: str) -> None:
    """Those of docs/methods.md 7.3, 8.1-8.3; the value that stands in the row is never the misprinted one."""
    row = next(row for row in rows_of(name) if row.label == label and row.backbone != "quicknet")
    assert said in row.misprint
    assert float(said) not in row.accuracy


def test_what_is_flagged_as_a_misprint_is_one() -> None:
    flagged = {(name, row.label) for name in TABLES for row in rows_of(name) if row.misprint}
    assert len(flagged) == 6


@pytest.mark.parametrize(
    ("name", "tolerances"),
    [
        ("cifar100", {"TOPIC (AL+MML)": 5, "Decoupled-Cosine": 1, "Joint-CNN": 1, "Ft-CNN": 3, "NCM* (=LUCIR)": 3, "LEC-Net": None}),
        ("cub200", {"LEC-Net": 3, "Ft-CNN (tuned lr)": 3, "Ft-CNN": None, "iCaRL": None, "iCaRL*": 3, "TOPIC-AL": None, "CEC": 1.5}),
        ("miniimagenet", {"LEC-Net": None, "EEIL*": 3, "NC-FSCIL": 2, "FACT (paper)": 1.5, "FACT (repo log)": None}),
    ],
)
def test_tolerances_are_those_of_methods_md_8_6(name: str, tolerances: dict[str, float | None]) -> None:
    rows = {row.label: row.tolerance for row in rows_of(name) if row.backbone != "quicknet"}
    assert {label: rows[label] for label in tolerances} == tolerances
    assert all(row.tolerance is None for row in load_published(name) if row.backbone == "quicknet"), "8.6 states none for it"


def test_how_the_epoch_was_chosen(shared: Shared) -> None:
    """docs/methods.md 7.1: on test images in every repository that could be read; of the others nobody knows."""
    for name in TABLES:
        for row in older(name, reference(name, shared)):
            if row.label == "WaRP":  # docs/modern.md 1: its code carries the last epoch on
                assert row.selection == "last epoch", row.label
            elif row.label.partition(" ")[0] in ("SPPR", "F2M", "Pre-alloc.", "Decoupled-DeepEMD", "Decoupled-NegCosine"):
                assert row.selection == "unknown", row.label
            else:
                assert row.selection.startswith("test"), row.label


def test_lec_net_on_cub_stands_on_its_own_orders() -> None:
    """docs/methods.md 1.4: its row averages ten permutations; the rows above it are TOPIC's, on the canonical order."""
    splits = {row.label: row.split for row in load_published("cub200") if row.method}
    assert {splits.pop(label) for label in ("LEC-Net", "LEC-Net (Seed_3 only)")} == {"lec"}
    assert set(splits.values()) == {"canonical"}


# What a row can stand beside ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", protocol_names())
def test_a_row_names_a_method_preset_and_network_that_there_are(name: str) -> None:
    """Misspelt, it would be hidden from every table, or called not comparable."""
    for row in load_published(name):
        if row.method is not None:
            assert set(row.presets) <= set(read_entry(row.method).presets), row.label
        assert row.backbone in {*BACKBONES, *OTHER_NETWORKS}, row.label


@pytest.mark.parametrize("name", TABLES)
def test_a_row_stands_on_the_page_of_its_method(name: str) -> None:
    """So that it is held against what was measured: a method of the group modern, and any method on a base kind that is not its own, has
    its rows there; and no row is of no method whose name says that it is one of ours."""
    ours = {read_entry(name).title.lower(): name for name in method_names()}
    for group in ("", "modern"):
        for row in load_published(name, group):
            first = row.label.lower().partition(" (")[0]
            assert row.method is not None or first not in ours or row.label in UNSTARRED, row.label
            if row.method is not None and row.base is None and row.label not in THIRD_PARTY:
                assert read_entry(row.method).group == group, row.label
            assert row.base is None or group == "modern", row.label


@pytest.mark.parametrize("name", [*TABLES, "seqmnist"])
def test_each_method_of_a_paper_table_stands_on_this_network(name: str) -> None:
    backbone = load_protocol(name).backbone
    rows = [row for row in load_published(name) if row.source.startswith("LEC-Net paper")]
    assert {(row.backbone, row.pretrained) for row in rows} == {(backbone.name, backbone.pretrained)}
    assert all(row.method for row in rows)


@pytest.mark.parametrize("name", STUDIES)
def test_a_studys_printed_labels_are_its_own(name: str) -> None:
    """A misspelt label would hide its figure."""
    table = load_published_study(name)
    assert table is not None
    assert set(table.values) <= {variant.label for variant in load_study(name).variants}
