"""Older records in the form of the present schema: one function a version, from its content to the next one's. No file is touched.

A field that an old record lacks gets here the value that the code had then, never today's default. (A field with a default that was
added within a schema version needs no function: its default is what that absence means, and tests/benchmarks/test_defaults.py
holds every default in place.) Changes of a method's Config belong to the method: `version` and `migrations` of its class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Content = dict[str, Any]


def from_1(content: Content) -> Content:
    """Schema 1 counted no numbers beside a method's network, and its first records knew no settings of one base kind alone."""
    sessions = [{"numbers_kept": None, **session} for session in content["sessions"]]
    identity = {"base_settings": {}, **content["identity"]}
    return {**content, "identity": identity, "sessions": sessions}


def from_2(content: Content) -> Content:
    """Schema 2 kept the hash of the images and the precision outside the identity, and did not say which of a method's values
    were defaults. There was one version of every base kind."""
    others = {key: value for key, value in content.items() if key != "images_sha256"}
    later = {"images": content["images_sha256"], "precision": content["environment"]["precision"], "defaults": [], "base_version": 1}
    return {**others, "identity": {**content["identity"], **later}}


MIGRATIONS: dict[int, Callable[[Content], Content]] = {1: from_1, 2: from_2}
"""Schema version -> function to the next one."""


def migrated(content: Content) -> Content:
    """The content of a record of any known schema in the present one's form; `schema_version` stays that of the file."""
    for version in range(content["schema_version"], max(MIGRATIONS) + 1):
        content = MIGRATIONS[version](content)
    return content
