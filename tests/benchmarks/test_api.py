"""The Python interface refuses as the command line does, with an error and never with the end of the process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.api import RunError, records, run
from benchmarks.system.errors import UsageError
from methods.contract.registry import MethodError
from methods.parts.own_files import forget_own_files
from protocols import ProtocolError
from protocols.own_folder import take_own_folder
from protocols.schema import Protocol
from tests.conftest import TINY

FAILS = '''"""Fails: stops in its first session."""

from methods.contract import SessionStrategy


class Fails(SessionStrategy):
    """It has no luck."""

    title = "Fails"
    presets = {"default": {}}

    def after_session(self):
        raise RuntimeError("no luck")
'''


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"threads": 2.5}, UsageError, "--threads: must be a whole number"),
        ({"threads": 0}, UsageError, "--threads must be at least 1"),
        ({"device": "tpu"}, UsageError, "--device tpu"),
        ({"seeds": range(0)}, UsageError, "write them like 0-9"),
        ({"methods": []}, UsageError, "a name is empty"),
        ({"methods": "protoo"}, MethodError, "Did you mean 'proto'"),
        ({"recipe": "nope"}, UsageError, "no recipe named 'nope'"),
        ({"split": "nope"}, UsageError, "no split named 'nope'"),
        ({"seeds": 0.5}, UsageError, "seeds must be a string, a whole number or a sequence (got '0.5')"),
        ({"seeds": [0.5]}, UsageError, "seeds: '0.5' is no whole number"),
        ({"seeds": np.arange(0)}, UsageError, "write them like 0-9"),
        ({"seeds": np.int64(0), "methods": "protoo"}, MethodError, "Did you mean 'proto'"),
        ({"changes": {"gamma": np.array([1, 2])}}, UsageError, "write METHOD.FIELD=VALUE"),
        ({"changes": {"proto.mean": object}}, UsageError, "changes: proto.mean must be a number, a string"),
        ({"changes": {"gamma": np.int64(1)}}, UsageError, "write METHOD.FIELD=VALUE"),
        ({"changes": {"gamma": 1}}, UsageError, "write METHOD.FIELD=VALUE"),
        ({"methods_dir": "nowhere"}, ProtocolError, "no such folder"),
    ],
)
def test_what_run_refuses(arguments: dict[str, Any], error: type[Exception], said: str, tmp_path: Path) -> None:
    with pytest.raises(error) as raised:
        run(str(TINY), **{"methods": "base_only", "seeds": 0, "results": tmp_path, **arguments})
    assert said in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_what_records_refuses(tiny: Protocol, tmp_path: Path) -> None:
    """A misspelt name is not the same as nothing found."""
    assert records(tiny, tmp_path) == []
    for wrong, said in (({"recipe": "nope"}, "no recipe named 'nope'"), ({"split": "nope"}, "no split named 'nope'")):
        with pytest.raises(UsageError, match=said):
            records(tiny, tmp_path, **wrong)
    with pytest.raises(UsageError, match="no such folder"):
        records(tiny, tmp_path / "misspelt")
    with pytest.raises(ProtocolError, match="no protocol named 'tinny'"):
        records("tinny", tmp_path)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Path]:
    """A folder of one's own with a method that fails, forgotten afterwards."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "fails.py").write_text(FAILS, encoding="utf-8")
    yield folder
    forget_own_files()
    take_own_folder(None)


def test_the_first_failure_is_named_and_what_is_done_stays(own: Path, data_root: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"1 of 2 runs failed: .*no luck"):
        run(str(TINY), "base_only,fails", seeds=0, results=tmp_path / "results", data_root=data_root, methods_dir=own)
    assert [record.identity.method for record in records(str(TINY), tmp_path / "results")] == ["base_only"]


def test_the_failure_that_is_named_is_of_this_call(own: Path, data_root: Path, tmp_path: Path) -> None:
    """An earlier call's was, of another method; and with `force` none was, where a record of the run is there."""
    places: dict[str, Any] = {"results": tmp_path / "results", "data_root": data_root, "methods_dir": own}
    with pytest.raises(RunError, match=r": fails:default seed 0 .*no luck"):
        run(str(TINY), "fails", seeds=0, **places)
    later = FAILS.replace("class Fails", "class Later").replace('title = "Fails"', 'title = "Later"')
    (own / "later.py").write_text(later.replace('raise RuntimeError("no luck")', "pass"), encoding="utf-8")
    run(str(TINY), "later", seeds=0, **places)
    (own / "later.py").write_text(later.replace("no luck", "not today"), encoding="utf-8")
    with pytest.raises(RunError, match=r"1 of 1 runs failed: later:default seed 0 .*not today"):
        run(str(TINY), "later", seeds=0, force=True, **places)
    with pytest.raises(RunError, match=r"1 of 2 runs failed: later:default seed 1 .*not today"):
        run(str(TINY), "later", seeds="0-1", **places)
