"""Schema of stored features: which network made them, of what, and what it had seen. A protocol and a file's sidecar state the same."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from protocols.fields import Deviation, Line, Sha256, Share, Strict

Seen = Literal["seen", "possible", "unknown", "no"]
"""Whether pre-training has seen images of the novel classes."""
SEEN_IN_WORDS: dict[Seen, str] = {
    "seen": "has seen the novel classes",
    "possible": "may have seen the novel classes",
    "unknown": "has seen nobody knows which classes",
    "no": "has not seen the novel classes",
}
KNOWN: dict[tuple[str, str], Seen] = {
    ("miniimagenet", "imagenet"): "seen",  # its classes are ImageNet's
    ("cub200", "imagenet"): "possible",  # birds, and pictures of CUB's test set among them
}
"""Data source and images of pre-training -> what everybody knows of the pair; of others, `unknown` unless it is said."""
WIDEST = 65_536
"""Most numbers that a feature may have."""


def seen_of(source: str, pretrained: str, stated: Seen | None = None) -> Seen:
    """Whether pre-training on these images has seen the novel classes of a data source: the worse of what is stated and what is known."""
    known = known_of(source, pretrained)
    return known if stated is None or contradicts(known, stated) else stated


def check_seen(source: str, pretrained: str, stated: Seen | None) -> None:
    """Raises ValueError for a statement that is known to be wrong."""
    known = known_of(source, pretrained)
    if stated is not None and contradicts(known, stated):
        raise ValueError(f"novel_seen is {stated!r}, but {pretrained} {SEEN_IN_WORDS[known]} of {source}")


def known_of(source: str, pretrained: str) -> Seen:
    """What everybody knows; every kind of ImageNet holds the classes of the first."""
    plain = re.sub(r"[^a-z0-9]", "", pretrained.lower())
    return KNOWN.get((source, "imagenet" if plain.startswith("imagenet") else plain), "unknown")


def contradicts(known: Seen, stated: Seen) -> bool:
    worst = ("seen", "possible")
    return known in worst and stated not in worst[: worst.index(known) + 1]


def seen_in_words(seen: Seen) -> str:
    """Text such as `**which may have seen the novel classes**`; plain where it has not."""
    mark = "" if seen == "no" else "**"
    return f"{mark}which {SEEN_IN_WORDS[seen]}{': no few-shot result' if seen == 'seen' else ''}{mark}"


class Preparation(Strict):
    """What is done to an image before the network: resized by PIL to `size` x `size`, then normalised per channel, for pixels from 0 to 1.

    Two preparations give two sets of features, which never share a ranking.
    """

    size: int = Field(ge=4, le=512)
    resize: Line
    mean: Annotated[tuple[Share, ...], Field(min_length=1, max_length=3)]
    std: Annotated[tuple[Deviation, ...], Field(min_length=1, max_length=3)]


class Features(Strict):
    """Facts about stored features. `network` has its full tag, since a name alone fixes no function; `weights` is the file's SHA-256.

    `l2`: every feature has length 1. `novel_seen` says whether the images of `pretrained` show the novel classes.
    """

    network: Line
    weights: Sha256
    pooling: Line
    preparation: Preparation
    l2: bool = False
    pretrained: Line
    novel_seen: Seen

    @property
    def in_words(self) -> str:
        """Text such as `stored features of resnet18 (weights 0123456789abcdef, pooling mean), pre-trained on imagenet, which ...`."""
        of = f"weights {self.weights[:16]}, pooling {self.pooling}{', of length 1' if self.l2 else ''}"
        return f"stored features of {self.network} ({of}), pre-trained on {self.pretrained}, {seen_in_words(self.novel_seen)}"
