"""CLOSER: prototypes on a base that draws classes together and spreads instances (Oh et al., ECCV 2024; docs/modern.md 2.1)."""

from __future__ import annotations

from methods.contract import FeatureMethod


class Closer(FeatureMethod):
    """Means of raw features, compared by cosine: Proto's rule on base kind `closer`, which is all of the method."""

    title = "CLOSER"
    group = "modern"
    base = "closer"
