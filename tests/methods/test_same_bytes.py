"""Every preset of every method computes what it computed before: the proof that a change of the sources changed no number.

tests/data/bytes.json has, for each processor and set of versions that somebody ran it on, the hash of what seed 0 of the tiny protocol
found. `PYTHONPATH=. python tests/methods/test_same_bytes.py` adds this machine's, before the sources are changed; where numbers are
meant to change, raise the method's `version` and list them anew.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

from benchmarks.planning.plan import identities, make_request
from benchmarks.records.schema import Record
from benchmarks.running.runner import Runner
from benchmarks.system.device import environment, make_deterministic
from benchmarks.system.settings import Settings
from methods.contract.registry import method_names, read_entry
from protocols import load_protocol

DATA = Path(__file__).resolve().parents[1] / "data"
LIST = DATA / "bytes.json"
ENTRIES = [entry for entry in map(read_entry, method_names()) if entry.needs != "texts"]  # the tiny protocol has images alone
VARIANTS = [f"{entry.name}:{preset}" for entry in ENTRIES for preset in entry.presets]


def here() -> str:
    """What the bits depend on beside the code."""
    import torch

    return json.dumps(environment(torch.device("cpu"), "fp32"), sort_keys=True)


def found(record: Record) -> str:
    """A hash of predictions, counts, and the methods' own numbers."""
    sessions = [session.model_dump(mode="json") for session in record.sessions]
    return hashlib.sha256(json.dumps([record.predictions_sha256, sessions], sort_keys=True).encode()).hexdigest()[:16]


def run(variant: str, data_root: Path, results: Path) -> str:
    protocol = load_protocol(str(DATA / "tiny.yaml"))
    [identity] = identities(make_request(protocol, None, None, "0", variant, []))
    return found(Runner(protocol, Settings(data_root, results, "cpu", 1)).run(identity)[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_bytes_as_before(variant: str, data_root: Path, results: Path) -> None:
    listed = json.loads(LIST.read_text()).get(here())
    if listed is None:
        pytest.skip("nobody has listed what this processor computes with these versions")
    if variant not in listed:
        pytest.skip("a method of the user's own, or a new preset")
    assert run(variant, data_root, results) == listed[variant]


if __name__ == "__main__":
    import tempfile

    make_deterministic(1)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        now = {variant: run(variant, place / "data", place / "results") for variant in VARIANTS}
    known = json.loads(LIST.read_text()) if LIST.exists() else {}
    changed = [variant for variant, digest in known.get(here(), {}).items() if now.get(variant) != digest]
    LIST.write_text(json.dumps({**known, here(): now}, indent=1, sort_keys=True) + "\n")
    print(f"{len(now)} variants listed; changed: {', '.join(changed) or 'none'}", file=sys.stderr)
