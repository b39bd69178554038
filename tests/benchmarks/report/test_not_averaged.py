"""Nothing is averaged that must not be: failed and damaged runs, other settings, other images, other precisions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records.failures import Failure
from benchmarks.records.store import Store
from protocols.schema import Protocol
from tests.benchmarks.conftest import CONFIG, SETTINGS, MakeIdentity
from tests.benchmarks.reading import row_of, table_after, tables
from tests.benchmarks.report.conftest import ACCURACY, BASE_ONLY, LAST, LECNET, Save, text_of

OTHER = "\n## Other settings\n"
pytestmark = pytest.mark.usefixtures("published_rows")


def test_failed_and_damaged_runs_are_named(hand: Protocol, story: Path) -> None:
    text = text_of(hand, story)
    failed = text[text.index("## Runs that failed") : text.index("## Records that cannot be used")]
    assert "ft_cnn:topic seed 2" in failed
    assert "scores are NaN" in failed
    unusable = text[text.index("## Records that cannot be used") :]
    assert "hand/quick.paper/lecnet-paper-gamma=0.6-" in unusable
    assert "seed02.json" in unusable
    row = row_of(table_after(text, ACCURACY), "LEC-Net (paper, gamma=0.6)")
    assert row["Seeds"] == "2 of 3"
    assert row["2"] == "42.50 (2 seeds)"  # 40, 45; with the damaged one it would be 45.00
    assert str(story) not in text, "the same records must give the same bytes wherever they lie"


def test_a_variant_of_which_all_runs_failed_has_a_row_of_failed_cells(
    hand: Protocol, results: Path, save: Save, make_identity: MakeIdentity
) -> None:
    save("base_only:default", BASE_ONLY)
    store = Store(results)
    for seed in (0, 2):
        store.save_failure(make_identity("lecnet:paper", seed, overrides={"gamma": 0.6}), Failure("ValueError: broken", ""))
    text = text_of(hand, results)
    row = row_of(table_after(text, ACCURACY), "`lecnet:paper[gamma=0.6]`")
    assert row.pop("Seeds") == "0 of 3, 2 failed"
    assert set(list(row.values())[1:]) == {"failed"}
    row = row_of(table_after(text, LAST), "`lecnet:paper[gamma=0.6]`")
    assert set(list(row.values())[1:]) == {"failed"}
    assert "No test: fewer than two rows are ranked." in text
    assert text.count("ValueError: broken") == 2, "each is listed beneath"
    assert row_of(table_after(text, ACCURACY), "BaseOnly")["Seeds"] == "3"


def test_a_failure_counts_in_its_own_recipe_and_split_only(hand: Protocol, results: Path, save: Save, make_identity: MakeIdentity) -> None:
    for recipe in ("quick", "slow"):
        save("base_only:default", BASE_ONLY, recipe=recipe)
        save("lecnet:paper", LECNET[:2], recipe=recipe)
    Store(results).save_failure(make_identity("lecnet:paper", 2, recipe="slow"), Failure("ValueError: broken", ""))
    quick, slow = text_of(hand, results).split("\n## ")[1:3]
    assert row_of(table_after(quick, ACCURACY), "LEC-Net (paper)")["Seeds"] == "2 of 3"
    assert row_of(table_after(slow, ACCURACY), "LEC-Net (paper)")["Seeds"] == "2 of 3, 1 failed"


def test_a_failure_whose_note_is_damaged_is_named_by_its_folder(
    hand: Protocol, results: Path, save: Save, make_identity: MakeIdentity
) -> None:
    save("base_only:default", BASE_ONLY)
    save("lecnet:paper", LECNET[:1])
    for variant, seed in (("lecnet:paper", 1), ("lecnet:paper", 7), ("ft_cnn:topic", 1)):
        identity = make_identity(variant, seed)
        Store(results).save_failure(identity, Failure("ValueError: broken", ""))
        Store(results).path(identity, ".failed.json").write_bytes(b"{")
    rows = [row for row in table_after(text_of(hand, results), ACCURACY) if not row["Method"].startswith("↳")]
    folders = [make_identity(variant).stem.parent.name for variant in ("ft_cnn:topic", "lecnet:paper")]
    assert {row["Method"]: row["Seeds"] for row in rows} == {
        "BaseOnly": "3 of 4",  # seed 7 was tried, too
        "LEC-Net (paper)": "1 of 4",
        f"`{folders[0]}`": "0 of 4, 1 failed",
        f"`{folders[1]}`": "0 of 4, 2 failed",
    }


def test_failures_alone_are_listed(hand: Protocol, results: Path, make_identity: MakeIdentity) -> None:
    Store(results).save_failure(make_identity("lecnet:paper", 2), Failure("ValueError: broken", ""))
    text = text_of(hand, results)
    assert tables(text) == []
    assert "- lecnet:paper seed 2 (quick.paper): ValueError: broken" in text


# Two settings of one variant: (the third seed's, what heads the one that does not stand in the table, seeds in the table and beside it)
SETTINGS_OF_ONE: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "most seeds": ({"config": {**CONFIG, "lr": 0.5}}, "lr 0.5 instead of 0.01", "2 of 3", "1"),
    "latest version": ({"version": 2}, "version 1 instead of 2", "1 of 3", "2"),
    "another base": ({"base": "projected"}, "base projected instead of linear", "2 of 3", "1"),
    "as the file says": ({"base_settings": {"lr": 0.2}}, "base lr 0.2 instead of nothing", "2 of 3", "1"),
}


@pytest.mark.parametrize(("changed", "words", "in_table", "beside"), SETTINGS_OF_ONE.values(), ids=SETTINGS_OF_ONE)
def test_seeds_of_different_settings_are_not_averaged(
    changed: dict[str, Any], words: str, in_table: str, beside: str, hand: Protocol, results: Path, save: Save
) -> None:
    """One setting stands in the table, the other in a section that says what differs."""
    save("base_only:default", BASE_ONLY)
    save("lecnet:paper", LECNET[:2])
    save("lecnet:paper", LECNET[2:], first_seed=2, **changed)
    text = text_of(hand, results)
    current, other = text.split(OTHER)
    assert row_of(table_after(current, ACCURACY), "LEC-Net (paper)")["Seeds"] == in_table
    assert f"### Recipe `quick`, split `paper`, LEC-Net (paper) with {words}\n" in other
    (row,) = tables(other)[0]
    assert (row["Method"], row["Seeds"]) == ("LEC-Net (paper)", beside)
    assert "## Records that cannot be used" not in text


def test_what_the_recipe_says_now_stands_in_the_table(hand: Protocol, results: Path, save: Save) -> None:
    """One seed of it goes before three of what the recipe said once; nothing of these is lost."""
    quick = hand.recipes["quick"].model_copy(update={"methods": {"lecnet": {"lr": 0.5}}})
    protocol = hand.model_copy(update={"recipes": {**hand.recipes, "quick": quick}})
    save("lecnet:paper", LECNET)
    save("lecnet:paper", LECNET[:1], config={**CONFIG, "lr": 0.5})
    current, other = text_of(protocol, results).split(OTHER)
    assert row_of(table_after(current, ACCURACY), "LEC-Net (paper)")["2"] == "40.00"
    assert "LEC-Net (paper) with lr 0.01 instead of 0.5" in other
    assert tables(other)[0][0]["2"] == "45.00 ± 12.42"


# What all rows of a table have in common, changed, and how the heading of the others names it
MEASURED_ON: dict[str, tuple[Any, str]] = {
    "suite": (2, "version 2 of the suite instead of 1"),
    "recipe_settings": ({"epochs": 200, "lr": 0.1}, "recipe epochs 200 instead of 2"),
    "data": (SETTINGS["data"] | {"size": 4}, "data size 4 instead of 8"),
    "augment": ({"pad": 4}, "augment pad 4 instead of 1"),
    "backbone": ({"name": "conv4", "pretrained": None}, "backbone name conv4 instead of conv2"),
    "sessions": (SETTINGS["sessions"] | {"shots": 1}, "sessions shots 1 instead of 5"),
    "recipe": ("gone", "a recipe that the protocol no longer has (epochs 2, lr 0.1)"),
    "split": ("canonical", "a split that the protocol no longer has"),
}


@pytest.mark.parametrize("field", MEASURED_ON)
def test_what_was_measured_on_different_things_never_shares_a_table(field: str, hand: Protocol, results: Path, save: Save) -> None:
    """A protocol or recipe was edited, and not everything was run again: no mean and no table holds both, and all is shown."""
    value, words = MEASURED_ON[field]
    save("base_only:default", BASE_ONLY)
    save("lecnet:paper", LECNET[:2])
    save("lecnet:paper", LECNET[2:], first_seed=2, **{field: value})
    save("proto:raw_mean", LECNET, **{field: value})
    current, other = text_of(hand, results).split(OTHER)
    rows = {row["Method"]: row["Seeds"] for row in table_after(current, ACCURACY) if not row["Method"].startswith("↳")}
    assert rows == {"BaseOnly": "3", "LEC-Net (paper)": "2 of 3"}
    assert other.count("\n### ") == 1
    assert f", with {words}\n" in other
    assert {row["Method"]: row["Seeds"] for row in tables(other)[0]} == {"LEC-Net (paper)": "1 of 3", "Proto (raw_mean)": "3"}


def test_a_base_of_its_own_settings_stays_in_the_section_where_the_recipe_says_so(hand: Protocol, results: Path, save: Save) -> None:
    """SI trains its base at another rate: the rows are still to be compared."""
    save("base_only:default", BASE_ONLY)
    save("lecnet:paper", LECNET, base="path", base_settings={"lr": 0.2})
    quick = hand.recipes["quick"].model_copy(update={"bases": {"path": {"lr": 0.2}}})
    text = text_of(hand.model_copy(update={"recipes": {**hand.recipes, "quick": quick}}), results)
    assert {"BaseOnly", "LEC-Net (paper)"} <= {row["Method"] for row in table_after(text, ACCURACY)}
    assert "LEC-Net (paper) starts from a base trained with lr 0.2." in text
    current, other = text_of(hand, results).split(OTHER)
    assert "LEC-Net (paper)" not in {row["Method"] for row in table_after(current, ACCURACY)}
    assert "LEC-Net (paper) with base lr 0.2 instead of 0.1" in other


def test_every_backbone_of_a_page_is_said_once_with_its_size(hand: Protocol, results: Path, save: Save) -> None:
    """Each section stands on one, which it names; rows on another are of other settings."""
    save("base_only:default", BASE_ONLY)
    save("lecnet:paper", LECNET)
    save("lecnet:paper", LECNET[:1], backbone={"name": "resnet12", "pretrained": None})
    lines = text_of(hand, results).splitlines()
    assert lines[0] == "# By hand"
    about = lines[lines.index("## About this page") :]
    assert about[2] == "Backbones, without heads: conv2 (64-d, 37,696 parameters), resnet12 (640-d, 12,423,040 parameters)."
    assert [text for text in lines if text.startswith("- Backbone")] == [
        "- Backbone: conv2, from scratch.",
        "- Backbone: resnet12, from scratch.",
    ]


def test_what_a_base_leaves_at_its_default_since_it_can_be_set_is_not_said(hand: Protocol, results: Path, save: Save) -> None:
    """Optimiser and ramp came later than the first pages."""
    save("base_only:default", BASE_ONLY)
    save("lecnet:paper", LECNET, recipe_settings={"epochs": 2, "lr": 0.1, "optimizer": "adam", "schedule": "cosine", "floor": 0.01})
    before, other = (re.findall("^- Base session: .*", text, re.MULTILINE) for text in text_of(hand, results).split(OTHER))
    start = "- Base session: batch 128, epochs 2, "
    assert before == [
        f"{start}gamma 0.1, head_gain 1.0, lr 0.1, milestones [], momentum 0.9, nesterov True, precision fp32, "
        "schedule step, warmup 0.2, weight_decay 0.0005."
    ]
    assert other == [
        f"{start}floor 0.01, gamma 0.1, head_gain 1.0, lr 0.1, milestones [], momentum 0.9, nesterov True, optimizer adam, precision fp32, "
        "schedule cosine, warmup 0.2, weight_decay 0.0005."
    ]


def test_records_of_fewer_sessions_break_nothing(hand: Protocol, results: Path, save: Save) -> None:
    """The protocol had one session when LEC-Net was run."""
    save("base_only:default", BASE_ONLY)
    short = [correct[:2] for correct in LECNET]
    save("lecnet:paper", short, [({}, {})] * 3, sessions={"base": 2, "way": 1, "count": 1, "shots": 5})
    last = [row.get("2") for table in tables(text_of(hand, results)) for row in table if row.get("Method") == "BaseOnly"]
    assert "42.50 ± 6.21" in last


def test_two_splits_and_two_recipes_never_share_a_table(hand: Protocol, results: Path, save: Save) -> None:
    save("base_only:default", BASE_ONLY)
    save("lecnet:paper", LECNET)
    save("lecnet:paper", LECNET[:1], split="canonical-order")
    save("lecnet:paper", LECNET[1:2], recipe="slow")
    text = text_of(hand, results)
    *sections, _about = text.split("\n## ")[1:]
    assert [section.splitlines()[0] for section in sections] == [
        "Recipe `quick`, split `paper`",  # the protocol's own order
        "Recipe `quick`, split `canonical-order`",
        "Recipe `slow`, split `paper`",
    ]
    last_session = [row_of(table_after(section, ACCURACY), "LEC-Net (paper)")["2"] for section in sections]
    assert last_session == ["45.00 ± 12.42", "40.00", "45.00"]
    assert "BaseOnly" not in sections[1]
    assert "BaseOnly" not in sections[2]
    assert "lacks seed" not in text, "holes are looked for inside a section"


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"images": "e" * 64}, ["on images cccccccc", "on images eeeeeeee"]),
        ({"precision": "bf16"}, ["computed in bf16", "computed in fp32"]),
        ({"precision": "tf32"}, ["computed in fp32", "computed in tf32"]),
    ],
    ids=["images", "bf16", "tf32"],
)
def test_other_images_or_another_precision_are_never_averaged(
    change: dict[str, Any], names: list[str], hand: Protocol, results: Path, save: Save
) -> None:
    """A folder's images were replaced, or half of the seeds ran where bf16 is not to be had: sections that tell themselves apart."""
    save("lecnet:paper", LECNET[:2])
    save("lecnet:paper", LECNET[2:], first_seed=2, **change)
    text = text_of(hand, results)
    headings = [line for line in text.splitlines() if line.startswith("## Recipe")]
    assert sorted(headings) == [f"## Recipe `quick`, split `paper`, {name}" for name in names]
    assert sorted(row["Seeds"] for table in tables(text) for row in table if row.get("Method") == "LEC-Net (paper)" and "Seeds" in row) == [
        "1",
        "2",
    ]
