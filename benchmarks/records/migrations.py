"""Converts older records to the present schema, with one function from each version to the next. Files are not changed.

A field that an old record lacks gets the value that the code used then, never today's default. (A field with a default that was
added within a schema version needs no function: if it is missing, it has its default, and tests/benchmarks/records/test_defaults.py checks
that no default changes.) Changes of a method's Config belong to the method: `version` and `migrations` of its class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Content = dict[str, Any]


def from_1(content: Content) -> Content:
    """Schema 1 had no `numbers_kept`, and its first records had no `base_settings`."""
    sessions = [{"numbers_kept": None, **session} for session in content["sessions"]]
    identity = {"base_settings": {}, **content["identity"]}
    return {**content, "identity": identity, "sessions": sessions}


def from_2(content: Content) -> Content:
    """Schema 2 stored the hash of the images and the precision outside the identity, and had no `defaults`. Every base kind had
    version 1."""
    others = {key: value for key, value in content.items() if key != "images_sha256"}
    later = {"images": content["images_sha256"], "precision": content["environment"]["precision"], "defaults": [], "base_version": 1}
    return {**others, "identity": {**content["identity"], **later}}


MIGRATIONS: dict[int, Callable[[Content], Content]] = {1: from_1, 2: from_2}
"""Schema version -> function to the next one."""


def migrated(content: Content) -> Content:
    """Converts a record's content from any known schema to the present one. `schema_version` keeps the file's value."""
    for version in range(content["schema_version"], max(MIGRATIONS) + 1):
        content = MIGRATIONS[version](content)
    return content
