"""Schema of stored features: which network made them, of what, and what it had seen. A protocol and a file's sidecar state the same."""

from __future__ import annotations

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
WIDEST = 65_536
"""Most numbers that a feature may have."""


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
        mark = "" if self.novel_seen == "no" else "**"
        said = f"{mark}which {SEEN_IN_WORDS[self.novel_seen]}{': no few-shot result' if self.novel_seen == 'seen' else ''}{mark}"
        return f"stored features of {self.network} ({of}), pre-trained on {self.pretrained}, {said}"
