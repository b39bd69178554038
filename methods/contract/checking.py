"""What must be true of a method's class before it is used: each mistake is answered in one line that names the file (loading.py)."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, cast

from pydantic import ValidationError

from methods.contract.config import MethodConfig, OwnConfig, TrainConfig
from methods.contract.facts import presets_fault, title_fault
from methods.contract.files import shown, there_before
from methods.contract.hooks import AMOUNTS, Hooks
from methods.contract.misspelt import inner, misspelt
from methods.contract.registry import Entry, MethodError, base_kind_names, read_entry
from methods.contract.strategy import SessionStrategy
from protocols.fields import holds
from protocols.loading import protocol_names
from protocols.messages import explain, first_line, unknown
from protocols.reading import short

CHOICES: dict[str, tuple[object, ...]] = {
    "trains": AMOUNTS,
    "trains_rows": ("all", "new"),
    "needs": ("", "network", "lengths", "texts"),
    "capturable": (False, True),
}
TRAIN = ("session_loss", "session_indices", "session_vectors", "trainable", "before_epoch", "before_update", "after_update", "finished")
"""Hooks that nothing calls unless sessions train."""
CONTRACT = "methods.contract."
PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
SETS = "must not be a set, whose order differs from process to process: the same run would be another one; make it a tuple"

_sound: weakref.WeakSet[type[SessionStrategy]] = weakref.WeakSet()
"""Classes that were checked: planning asks for each of them many times."""


def check_method(method: object, entry: Entry) -> type[SessionStrategy]:
    """The class that a method's file defines. Raises MethodError if it is none, or says what makes no sense."""
    file = shown("methods", entry.name)
    if not (isinstance(method, type) and issubclass(method, SessionStrategy)):
        raise MethodError(f"{file}: {entry.class_name} must derive from methods.contract.strategy.SessionStrategy")
    if method not in _sound:
        for fault in faults(method, entry):
            raise MethodError(f"{file}: {fault}")
        _sound.add(method)
    return method


def faults(method: type[SessionStrategy], entry: Entry) -> Iterator[str]:
    """What is wrong with a class, the likeliest first."""
    own = entry.class_name
    for name, meant in misspelt(method):
        yield f"{own}.{name} is no hook. Did you mean {meant!r}? A helper of your own gets another name, or one that begins with _"
    for name in inner(method):
        yield f"{own}.{name} must have another name, or one that begins with _: it would replace {name}() of the strategy, which is no hook"
    if not takes_what_it_is_given(method):
        yield f"{own}.__init__ must take context and config by name; leave it out, and prepare in adopt(network)"
    for name in ("budget", "most_numbers"):
        if not isinstance(inspect.getattr_static(method, name), classmethod | staticmethod):
            yield f"{own}.{name} must be a class method: it is asked before there is a strategy; write @classmethod above it"
    yield from faults_of_hooks(method, own)
    for name, known in CHOICES.items():
        value = getattr(method, name, "")
        if type(value) is not type(known[0]) or value not in known:
            yield f"{name} of {own} must be one of {', '.join(map(repr, known))} (got {short(value)})"
    if not whole(method.version, 1):
        yield f"version of {own} must be a whole number, at least 1 (got {short(method.version)})"
    if method.memory_budget is not None and not whole(method.memory_budget, 0):
        yield f"memory_budget of {own} must be a whole number, at least 0, or None for all images (got {short(method.memory_budget)})"
    yield from faults_of_migrations(method.migrations, own)
    for what, fault in (("title", title_fault(method.title)), ("presets", presets_fault(method.presets))):
        if fault:
            yield f"{what} of {own} {fault}"
    if tuple(method.presets) != entry.presets:
        yield f"{own} must write out its presets, even if it shares another method's"
    if getattr(method, "needs", "") != entry.needs:
        yield f"{own} must write out what it needs, even if it is what another method needs"
    if method.group != entry.group:
        yield f"{own} must write out its group, even if it is another method's"
    yield from faults_of_config(method, own)
    yield from faults_of_bases(method, own)
    yield from faults_of_names(method, entry)


def takes_what_it_is_given(method: type[SessionStrategy]) -> bool:
    """Whether the class can be made as the runner makes it."""
    try:
        inspect.signature(method).bind(context=None, config=None)
    except TypeError:
        return False
    return True


def faults_of_hooks(owner: type, own: str) -> Iterator[str]:
    """Hooks of a method or a kind that cannot be called as the suite calls them: with what the contract's own function must be given."""
    contract = [cls for cls in owner.__mro__ if cls.__module__.startswith(CONTRACT)]
    for name in dict.fromkeys(name for cls in owner.__mro__ if cls not in contract for name in vars(cls)):
        theirs = next((vars(cls)[name] for cls in contract if name in vars(cls)), None)
        mine = inspect.getattr_static(owner, name)
        if name.startswith("_") or not (inspect.isfunction(theirs) and inspect.isfunction(mine)):
            continue
        given = [one.name for one in inspect.signature(theirs).parameters.values() if one.kind in PLACED and one.default is one.empty]
        try:
            inspect.signature(mine).bind(*given)
        except TypeError:
            yield f"{own}.{name} must take ({', '.join(given)}), as it is called with"


def whole(value: object, least: int) -> bool:
    return type(value) is int and value >= least


def is_mapping(value: object, key: type, item: Callable[[Any], bool]) -> bool:
    return isinstance(value, Mapping) and all(isinstance(k, key) and item(v) for k, v in value.items())


def faults_of_migrations(migrations: object, own: str) -> Iterator[str]:
    if not is_mapping(migrations, int, callable):
        yield f"migrations of {own} must be a mapping of versions to functions (got {short(migrations)})"


def faults_of_config(method: type[SessionStrategy], own: str) -> Iterator[str]:
    config: Any = method.Config
    if not (isinstance(config, type) and issubclass(config, MethodConfig)):
        yield f"Config of {own} must be a class that derives from TrainConfig or MethodConfig (got {short(config)})"
        return
    yield from faults_of_fields(config, own)
    if not issubclass(config, TrainConfig):
        trains = method.session_epochs is not Hooks.session_epochs
        overridden = [hook for hook in TRAIN if getattr(method, hook) is not getattr(Hooks, hook)]
        if "epochs" in config.model_fields and not trains:
            yield f"Config of {own} must derive from TrainConfig: it has epochs, and sessions that train need lr, batch and more"
        elif overridden and not trains:
            yield f"Config of {own} must derive from TrainConfig: {overridden[0]}() is called only where sessions train"


def faults_of_fields(config: type[OwnConfig], own: str) -> Iterator[str]:
    """What is wrong with the fields of a method's or a kind's Config."""
    for name, field in config.model_fields.items():
        if field.is_required():
            yield f"Config.{name} of {own} needs a default, as older runs will count as run with it"
        if holds((set, frozenset), field.annotation):
            yield f"Config.{name} of {own} {SETS}"
    try:
        config.model_validate(config().model_dump(mode="json", warnings=False))  # a default's type is checked by nobody else
    except Exception as error:  # pydantic's own, or that of a validator
        why = explain(error, config) if isinstance(error, ValidationError) else first_line(error)
        yield f"Config of {own} cannot be made of its defaults, written to a record and read again: {why}"


def faults_of_bases(method: type[SessionStrategy], own: str) -> Iterator[str]:
    base, kinds = method.base, base_kind_names()
    if not isinstance(base, str) and not is_mapping(base, str, lambda kind: isinstance(kind, str)):
        yield f"base of {own} must be the name of a base kind, or a mapping of presets to such names (got {short(base)})"
        return
    for kind in (base,) if isinstance(base, str) else base.values():
        if kind not in kinds:
            yield f"base of {own}: {unknown('base kind', kind, kinds)}"
    for preset in () if isinstance(base, str) else base:
        if preset not in method.presets:
            yield f"base of {own}: {unknown('preset', preset, list(method.presets))}"
    yield from faults_of_values(method.bases, own)


def faults_of_values(bases: object, own: str) -> Iterator[str]:
    """What is wrong with the `bases` of a method or a kind."""
    if not is_mapping(bases, str, lambda values: is_mapping(values, str, lambda value: True)):
        yield f"bases of {own} must be a mapping of base kinds to values of their Config (got {short(bases)})"
        return
    kinds = base_kind_names()
    for kind in cast(Mapping[str, object], bases):
        if kind not in kinds:
            yield f"bases of {own}: {unknown('base kind', kind, kinds)}"


def faults_of_names(method: type[SessionStrategy], entry: Entry) -> Iterator[str]:
    """Names and titles by which users could not tell this method from what was there before."""
    others = []
    for name in there_before(entry.name):
        with suppress(MethodError):  # said when that method is asked for
            others.append(read_entry(name))
    for other in others:
        if other.title == method.title:
            yield f"title of {entry.class_name} must not be {short(other.title)}, which is that of {shown('methods', other.name)}"
        if other.group == entry.name:
            yield f"must have another name: {entry.name} is a group of methods, which --methods would not find"
    if entry.group in (entry.name, *(other.name for other in others)):
        yield f"group of {entry.class_name} must not be {entry.group}, which is the name of a method"
    if entry.group in protocol_names():
        yield f"group of {entry.class_name} must not be {entry.group}, which is the name of a protocol"
