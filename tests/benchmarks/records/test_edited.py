"""A record counts as edited where sources changed under the same versions, of the method and of every base kind behind it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.planning.plan import identities, make_request
from benchmarks.records import edited as module
from benchmarks.records.edited import edited, other_parts, versions_of
from benchmarks.records.stated import stated_kind_version
from methods.contract.loading import load_base_kind
from methods.contract.registry import base_kind_names
from protocols.schema import Protocol

pytestmark = pytest.mark.usefixtures("hashes_differ")


@pytest.fixture
def hashes_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every record was computed by sources that are no longer there."""
    monkeypatch.setattr(module, "costs_of", lambda record: SimpleNamespace(sources="0" * 16))


def test_what_the_files_state_is_what_the_classes_say() -> None:
    assert {kind: stated_kind_version(kind) for kind in base_kind_names()} == {
        kind: load_base_kind(kind).version for kind in base_kind_names()
    }
    assert stated_kind_version("nowhere") is None


@pytest.mark.parametrize("version", [0, 2])
@pytest.mark.parametrize("behind", ["method", "kind", "parent"])
def test_another_version_of_any_part_is_said_as_that(behind: str, version: int, tiny: Protocol) -> None:
    [run] = identities(make_request(tiny, None, None, "0", "concm@structure", []))
    assert [stage.base for stage in run.base_parents] == ["contrast"]
    record: Any = SimpleNamespace(identity=run)
    assert edited([record]) == [record] and other_parts(run) == []
    [parent] = run.base_parents
    changes: dict[str, tuple[dict[str, Any], str]] = {
        "method": ({"version": version}, f"version {version} of its method"),
        "kind": ({"base_version": version}, f"version {version} of the base kind structure"),
        "parent": ({"base_parents": (parent.model_copy(update={"version": version}),)}, f"version {version} of the base kind contrast"),
    }
    change, said = changes[behind]
    record.identity = run.model_copy(update=change)
    assert versions_of(record.identity) != versions_of(run)
    assert edited([record]) == []
    assert other_parts(record.identity) == [(said, 1)]
