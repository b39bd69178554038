"""What a study looks at while a run goes on, beside its record. One file a probe; a run is the same bytes with and without them."""

from benchmarks.running.probes.drift import Drift
from benchmarks.running.probes.epochs import Epochs
from benchmarks.running.probes.fit import Fit
from benchmarks.running.probes.probe import Probe, observe
from benchmarks.running.probes.tsne import Tsne

PROBES: dict[str, type[Probe]] = {probe.name: probe for probe in (Fit, Epochs, Drift, Tsne)}

__all__ = ["PROBES", "Probe", "observe"]
