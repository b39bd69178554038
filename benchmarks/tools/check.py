"""`run_all.py --check METHOD`: the contract's checks for one method, on a small protocol, with messages for its author."""

from __future__ import annotations

import inspect
import tempfile
import time
from pathlib import Path

from benchmarks.planning.plan import identities, make_request
from benchmarks.records.identity import Identity
from benchmarks.running.runner import Runner
from benchmarks.sweeping.explaining import explained, place_of
from benchmarks.system.device import make_deterministic
from benchmarks.system.errors import USER_ERRORS, UsageError
from benchmarks.system.settings import Settings
from benchmarks.tools.contract import CHECKS, COMPARING, Bench, BrokenError, UnrepeatableError
from methods.contract import FeatureMethod, SessionStrategy
from methods.contract.loading import load_method
from methods.contract.registry import parse_variant
from protocols import load_protocol
from protocols.schema import Protocol


def small_protocol() -> Protocol:
    """The digits, with a base trained for two epochs and two sessions of two classes."""
    digits = load_protocol("digits")
    recipe = digits.recipes[digits.recipe].model_copy(update={"epochs": 2, "schedule": "constant", "milestones": ()})
    sessions = digits.sessions.model_copy(update={"way": 2, "count": 2})
    return digits.model_copy(update={"name": "check", "sessions": sessions, "recipes": {digits.recipe: recipe}})


def check(variant: str, settings: Settings) -> bool:
    """Prints a line for each check of METHOD[:PRESET][@KIND], and says whether all have passed. Raises MethodError for an
    unknown one, and UsageError for one that digits cannot check."""
    entry, preset, kind = parse_variant(variant)
    if entry.needs == "texts":
        raise UsageError(
            f"--check {entry.name}: it needs text vectors, which the digits do not have; try it on data that do (docs/DATA.md)"
        )
    named = f"{entry.name}:{preset}" + (f"@{kind}" if kind else "")
    protocol = small_protocol()
    make_deterministic(settings.threads)

    def make(of: str, seed: int) -> Identity:
        return identities(make_request(protocol, None, None, str(seed), of, []))[0]

    print(f"{named} on digits: {protocol.sessions.base} base classes, then {protocol.sessions.count} sessions of 2", flush=True)
    if is_proto(load_method(entry.name)):
        print(f"  note  {entry.class_name} overrides no hook: it computes what Proto does on its base", flush=True)
    passed, failed, repeatable, started = 0, 0, True, time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        own = Settings(settings.data_root, Path(scratch) / "shared", settings.device, settings.threads, False, "fp32", settings.methods_dir)
        bench = Bench(protocol, named, make, Runner(protocol, own), Path(scratch) / "fresh")
        for name, of_contract in CHECKS.items():
            if of_contract in COMPARING and not repeatable:
                print(f"  --    {name}: not checked, since two runs differ anyway", flush=True)
                continue
            try:
                of_contract(bench)
            except (Exception, SystemExit) as error:  # a method may fail in any way
                failed += 1
                print(f"  FAIL  {name}", f"        {error if isinstance(error, BrokenError) else explained(error)}", sep="\n", flush=True)
                if place := place_of(error):
                    print(f"        {place}", flush=True)
                repeatable = repeatable and not isinstance(error, UnrepeatableError)
                if isinstance(error, USER_ERRORS) or name == next(iter(CHECKS)):
                    break  # the others would say the same
            else:
                passed += 1
                print(f"  ok    {name}", flush=True)
    others = "" if passed == len(CHECKS) else f", {failed} failed, {len(CHECKS) - passed - failed} not made"
    print(f"{passed} of {len(CHECKS)} checks passed{others} in {time.monotonic() - started:.0f} s", flush=True)
    return passed == len(CHECKS)


def is_proto(method: type[SessionStrategy]) -> bool:
    """Whether a method of features has no rule of its own: a `learn` under another name is called by nobody."""
    own = {name: value for cls in method.__mro__ if cls not in FeatureMethod.__mro__ for name, value in vars(cls).items()}
    hooks = (name for name, value in own.items() if name[0] != "_" and (inspect.isfunction(value) or isinstance(value, property)))
    return issubclass(method, FeatureMethod) and not any(hasattr(FeatureMethod, name) for name in hooks)
