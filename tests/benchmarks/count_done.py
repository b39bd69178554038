"""Print how many committed records are done under the plan, as JSON: run as a script, with the results folder as its argument.

Its own process, so that it can be run over a copy of the sources with something changed.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

from benchmarks.planning.ledger import upgraded
from benchmarks.planning.plan import Request, make_identity
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


def main(results: Path) -> dict[str, int]:
    settle()
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
    print(json.dumps(main(Path(sys.argv[1]))))
