"""Base models that another machine trained: `results/.base/taken/` holds their files, as they lay in that machine's `.base`.

A base model's key names the environment that trained it, so a base of a GPU is not one of this processor. One that is put there by
hand is used where all else in its key agrees, precision included, and every record that stands on it says where it came from.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from benchmarks.base.cache import CachedBase
from benchmarks.base.key import BaseKey
from benchmarks.base.tensors import read_key, read_tensors

FOLDER = "taken"


@dataclass(frozen=True)
class Taken:
    """The state of a base model of another machine, and the environment that trained it, in words."""

    state: dict[str, Tensor]
    origin: str


def find_taken(base: CachedBase) -> Taken | None:
    """What stands in for this base model: the first file of its folder's `taken` whose key agrees in all but the environment, and whose
    state fits the network; None if there is none."""
    for path in sorted((base.folder / FOLDER).glob("*.safetensors")):
        theirs = read_key(path)
        if theirs is not None and agrees(theirs, base.key) and (state := read_tensors(path, theirs)) is not None and base.fits(state):
            where = theirs.fields["environment"]
            return Taken(state, ", ".join(f"{name} {value}" for name, value in sorted(where.items())))
    return None


def agrees(theirs: BaseKey, ours: BaseKey) -> bool:
    """Whether both keys are equal in all but the environment, and the precision is the same."""
    one, other = ({name: value for name, value in key.fields.items() if name != "environment"} for key in (theirs, ours))
    environments = [key.fields.get("environment") for key in (theirs, ours)]  # theirs is not verified yet, and may be anything
    precisions = [where.get("precision") if isinstance(where, dict) else None for where in environments]
    return BaseKey(one).text == BaseKey(other).text and precisions[0] == precisions[1]
