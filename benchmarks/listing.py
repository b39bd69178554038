"""What `--list` and `--plan` print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from methods.registry import MethodError, method_names, read_entry
from protocols import ProtocolError, load_protocol, protocol_names

if TYPE_CHECKING:
    from benchmarks.plan import Request
    from benchmarks.records import Identity
    from benchmarks.settings import Settings


def listing() -> str:
    """Protocols and methods, read without importing torch; one that cannot be read says why."""
    lines = ["Protocols:"]
    for name in protocol_names():
        try:
            p = load_protocol(name)
            lines.append(f"  {name:14} {p.title}")
            lines.append(f"  {'':14}   recipes {', '.join(p.recipes)} (default {p.recipe}); splits {', '.join(p.splits)}")
        except ProtocolError as error:
            lines.append(f"  {name:14} {error}")
    lines.append("Methods:")
    for name in method_names():
        try:
            entry = read_entry(name)
            lines.append(f"  {name:14} {entry.summary}")
            lines.append(f"  {'':14}   presets {', '.join(entry.presets)}")
        except MethodError as error:
            lines.append(f"  {name:14} {error}")
    return "\n".join(lines)


def plan_text(request: Request, runs: Sequence[Identity], settings: Settings, workers: int) -> str:
    """What would run, and how long it may take by what the same variants cost before."""
    from benchmarks.progress import readable
    from benchmarks.records import Store
    from benchmarks.sweep import missing_runs

    store = Store(settings.results)
    missing = missing_runs(runs, store, None)
    lines = [
        f"{request.protocol.name}, recipe {request.recipe}, split {request.split}, seeds {', '.join(map(str, request.seeds))}: "
        f"{len(runs)} runs, {len(runs) - len(missing)} done, {len(missing)} to do"
    ]
    if not missing:
        return lines[0]
    seconds, unknown = 0.0, set()
    bases: dict[tuple[str, int], float] = {}
    for identity in missing:
        lines.append(f"  {identity.variant} seed {identity.seed}")
    for variant in {identity.variant for identity in missing}:
        known = [store.read_costs(identity) for identity in runs if identity.variant == variant]
        costs = [c for c in known if c is not None]
        todo = [identity for identity in missing if identity.variant == variant]
        if not costs:
            unknown.add(variant)
            continue
        seconds += len(todo) * sum(sum(c.session_seconds) + sum(c.evaluation_seconds) for c in costs) / len(costs)
    trained = [c.base_seconds for identity in runs if (c := store.read_costs(identity)) is not None and c.base_seconds]
    if trained:
        bases = {(identity.base, identity.seed): sum(trained) / len(trained) for identity in missing}
    lines.append(
        f"estimate: {readable((seconds + sum(bases.values())) / workers)} with {workers} worker{'s' if workers > 1 else ''}, "
        "if no base session is cached"
        if seconds
        else "no estimate: none of these has been run here before"
    )
    if unknown and seconds:
        lines.append(f"  without {', '.join(sorted(unknown))}, never run here")
    return "\n".join(lines)
