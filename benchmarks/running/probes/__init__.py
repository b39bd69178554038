"""Probes: measurements of a study during a run, stored beside its record. They do not change the record. One file per probe."""

from benchmarks.running.probes.drift import Drift
from benchmarks.running.probes.epochs import Epochs
from benchmarks.running.probes.fit import Fit
from benchmarks.running.probes.probe import Probe, observe
from benchmarks.running.probes.tsne import Tsne

PROBES: dict[str, type[Probe]] = {probe.name: probe for probe in (Fit, Epochs, Drift, Tsne)}

__all__ = ["PROBES", "Probe", "observe"]
