"""What `--list` and `--plan` print."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import mean
from typing import TYPE_CHECKING

from methods.contract.registry import MethodError, method_names, read_entry
from protocols import ProtocolError, load_protocol, protocol_names
from protocols.study import load_study, study_names

if TYPE_CHECKING:
    from benchmarks.planning.ledger import Ledger
    from benchmarks.records.identity import Identity


def listing() -> str:
    """Text listing protocols, methods and studies, read without importing torch. An entry that cannot be read shows its error."""
    lines = ["Protocols:"]
    for name in protocol_names():
        try:
            p = load_protocol(name)
            lines.append(f"  {name:14} {p.title}")
            lines.append(f"  {'':14}   recipes {', '.join(p.recipes)} (default {p.recipe}); splits {', '.join(p.splits)}")
        except ProtocolError as error:
            lines.append(f"  {name:14} {error}")
    lines.append("Methods:")
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in method_names():
        try:
            entry = read_entry(name)
            lines.append(f"  {name:14} {entry.summary}")
            lines.append(f"  {'':14}   presets {', '.join(entry.presets)}" + (f"; group {entry.group}" if entry.group else ""))
            groups[entry.group].append(name)
        except MethodError as error:
            lines.append(f"  {name:14} {error}")
    for group in sorted(filter(None, groups)):
        lines.append(
            f"Group {group}: takes part only when asked, by name or by --methods {group}; on a page of its own, {group}.<protocol>.md"
        )
        lines.append(f"  {', '.join(groups[group])}")
    lines.append("Studies:")
    for name in study_names():
        try:
            lines.append(f"  {name:18} {load_study(name).title}")
        except ProtocolError as error:
            lines.append(f"  {name:18} {error}")
    return "\n".join(lines)


def plan_text(runs: Sequence[Identity], ledger: Ledger, workers: int) -> str:
    """Text listing the runs still to do, with a time estimate from the costs of earlier runs of the same variants."""
    from benchmarks.planning.ledger import upgraded
    from benchmarks.records.costs import costs_of
    from benchmarks.sweeping.progress import readable

    missing = ledger.missing(runs)
    first, seeds = runs[0], sorted({identity.seed for identity in runs})
    lines = [
        f"{first.protocol}, recipe {first.recipe}, split {first.split}, seeds {', '.join(map(str, seeds))}: "
        f"{len(runs)} runs, {len(runs) - len(missing)} done, {len(missing)} to do"
    ]
    if not missing:
        return lines[0]
    lines += [f"  {identity.variant} seed {identity.seed}" for identity in missing]
    done = [(run, record) for run in runs if (record := ledger.store.find(run, upgraded)) is not None]
    costs = [(run, cost) for run, record in done if (cost := costs_of(record)) is not None]
    seconds_of = {
        variant: mean(c.sessions_seconds for identity, c in costs if identity.variant == variant)
        for variant in {identity.variant for identity, _ in costs}
    }
    unknown = {identity.variant for identity in missing} - seconds_of.keys()
    if all(identity.variant in unknown for identity in missing):
        return "\n".join([*lines, "no estimate: none of these has been run here before"])
    seconds = sum(seconds_of.get(identity.variant, 0.0) for identity in missing)
    trained = [c.base_seconds for _, c in costs if c.base_seconds]
    if trained:
        seconds += mean(trained) * len({(identity.base, identity.seed) for identity in missing})
    crew = f"{workers} worker{'s' if workers > 1 else ''}"
    lines.append(f"estimate: {readable(seconds / workers)} with {crew}, if no base session is cached")
    if unknown:
        lines.append(f"  without {', '.join(sorted(unknown))}, never run here")
    return "\n".join(lines)
