"""The protocol on stored features: sessions, splits and recipes of the protocol whose images were shown to a network."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from pydantic import ValidationError

from protocols.features import Features
from protocols.messages import explain
from protocols.reading import ProtocolError
from protocols.schema import Protocol, Recipe

HEADS = Recipe(epochs=30, lr=0.1, schedule="onecycle", trains="none")
"""The recipe of a protocol that has none for heads alone."""
KEPT = {"seeds", "methods", "without", "printed", "canonical"}


def protocol_on(protocol: Protocol, facts: Features, width: int, path: PurePath) -> dict[str, Any]:
    """The content of a protocol on features of `width` numbers in the folder `path` of a data root; it has the folder's name.

    Raises ProtocolError for a folder whose name cannot be a protocol's.
    """
    of_heads = {name: recipe for name, recipe in protocol.recipes.items() if recipe.trains == "none"} or {"heads": HEADS}
    heads = {name: of_features(recipe) for name, recipe in of_heads.items()}
    content = {
        "name": path.name,
        "title": f"{protocol.title[:120]}: stored features of {facts.network}"[:200],
        "data": {"source": "features", "path": path.as_posix(), "channels": width, "features": facts.model_dump(mode="json")},
        "sessions": protocol.sessions.model_dump(mode="json"),
        "backbone": {"name": "identity"},
        "splits": list(protocol.splits),
        "recipe": protocol.recipe if protocol.recipe in heads else next(iter(heads)),
        "recipes": heads,
        **protocol.model_dump(mode="json", exclude_defaults=True, include=KEPT),
    }
    try:
        Protocol.model_validate(content)
    except ValidationError as error:
        raise ProtocolError(f"{path}: a protocol on it cannot be written: {explain(error, Protocol)}") from None
    return content


def of_features(recipe: Recipe) -> dict[str, Any]:
    """A recipe for heads alone, without what it says of stored outputs, for all base kinds or for one."""
    content = recipe.model_dump(mode="json", exclude_defaults=True, exclude={"stored_views"})
    own = {"trains", "stored_views"}
    bases = {kind: {key: value for key, value in values.items() if key not in own} for kind, values in recipe.bases.items()}
    return {**content, "bases": bases} if bases else content
