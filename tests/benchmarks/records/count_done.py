"""Print how many committed records are done under the plan, and some base keys, as JSON: run as a script, with the results folder as its
argument.

Its own process, so that it can be run over a copy of the sources with something changed.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

from benchmarks.base.key import base_key
from benchmarks.planning.ledger import upgraded
from benchmarks.planning.plan import Request, identities, make_identity, make_request
from benchmarks.records.identity import Identity
from benchmarks.records.store import stores_below
from benchmarks.system.surroundings import settle
from protocols.pseudo import find_protocol
from protocols.reading import InputError
from protocols.schema import Protocol

protocol_of = cache(find_protocol)


def wanted(identity: Identity) -> Identity | None:
    """The run that a user who asks for the record's variant gets now; None where there is none."""
    protocol: Protocol = protocol_of(identity.protocol)
    if identity.recipe not in protocol.recipes:
        return None
    request = Request(
        protocol, identity.recipe, identity.split, (identity.seed,), ((identity.method, identity.preset, identity.asked_base),)
    )
    try:
        return make_identity(request, identity.method, identity.preset, identity.overrides, identity.seed, identity.asked_base)
    except (InputError, ValueError, KeyError):
        return None


def base_keys() -> list[str]:
    """Names of the base sessions of two methods on the digits, one of them with a changed parameter."""
    digits = protocol_of("digits")
    runs = identities(make_request(digits, None, None, "0", "lecnet,proto", ["lecnet.gamma=0.6"]))
    return [base_key(digits, run.base_recipe, run.stages[-1], 0, "i", "j", {}).stem for run in runs]


def count(results: Path) -> dict[str, int]:
    """Numbers of records, and of those that are done."""
    plans: dict[str, Identity | None] = {}
    counts = {"records": 0, "done": 0}
    for store in stores_below(results):
        for name in store.protocols():
            for record in store.load(name)[0]:
                identity = record.identity
                key = f"{identity.group}/{identity.variant}"
                if key not in plans:
                    plans[key] = wanted(identity)
                plan = plans[key]
                counts["records"] += 1
                counts["done"] += plan is not None and plan.model_copy(update={"seed": identity.seed}).same_as(upgraded(identity))
    return counts


if __name__ == "__main__":
    settle()
    print(json.dumps(count(Path(sys.argv[1])) | {"base_keys": base_keys()}))
