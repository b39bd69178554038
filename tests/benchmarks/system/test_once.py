"""What is computed once: hashes of images in a command, images on the device, the hash of the backbone in a session."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.base import features
from benchmarks.data.images import load_images
from benchmarks.planning.plan import identities, make_request
from benchmarks.running.runner import Runner
from benchmarks.system import files
from benchmarks.system.errors import StorageError
from benchmarks.system.settings import Settings
from protocols.schema import Protocol
from tests.methods.runs import identity_of


def test_images_that_a_command_has_verified_are_not_hashed_again(tiny: Protocol, tmp_path: Path) -> None:
    first = load_images(tiny.data, tmp_path)
    [array] = (tmp_path / ".cache").glob("*/test.npy")
    content = bytearray(array.read_bytes())
    content[-1] ^= 1
    array.write_bytes(content)
    trusted = load_images(tiny.data, tmp_path, first.sha256)
    assert np.asarray(trusted.test).ravel()[-1] == content[-1], "workers take the launcher's word"
    assert load_images(tiny.data, tmp_path, "0" * 64).test.ravel()[-1] != content[-1], "nobody vouches for these: decoded anew"


def test_images_go_to_the_device_once_and_seeds_differ_in_labels(runner: Runner) -> None:
    first, second = (runner.seed_context("paper", seed).tensors for seed in (0, 1))
    for name in ("train", "plain", "test"):
        assert getattr(first, name) is getattr(second, name)
    assert not torch.equal(first.labels, second.labels)


def test_a_backbone_is_hashed_once_while_it_stays_as_it_is(tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Testing asks for the features of a backbone in several places; base_only changes none."""
    calls: list[torch.nn.Module] = []
    original = features.state_sha256

    def counted(module: torch.nn.Module) -> str:
        calls.append(module)
        return original(module)

    monkeypatch.setattr(features, "last_hash", features.LastHash())
    monkeypatch.setattr(features, "state_sha256", counted)
    [identity] = identities(make_request(tiny, None, None, "0", "base_only", []))
    runner = Runner(tiny, settings)
    runner.run(identity)
    assert len(calls) == 1
    runner.run(identity.model_copy(update={"seed": 1}))
    assert len(calls) == 2, "another backbone"


def test_a_base_folder_that_is_read_only_serves_what_is_in_it(
    tiny: Protocol, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that a group shares. What is not in it is one line."""
    shared = replace(settings, own_bases=tmp_path / "shared")
    first = Runner(tiny, shared).run(identity_of(tiny, "proto"))[0]
    honest = files.locked

    def refused(path: Path, wait: bool) -> Any:
        if path.is_relative_to(tmp_path / "shared"):
            raise StorageError.of(path, OSError(errno.EROFS, "Read-only file system"))
        return honest(path, wait)

    monkeypatch.setattr(files, "locked", refused)
    monkeypatch.setattr("benchmarks.system.files.os.access", lambda path, mode: path != tmp_path / "shared")
    assert Runner(tiny, shared).run(identity_of(tiny, "proto"))[0] == first
    with pytest.raises(StorageError, match="cannot be written"):
        Runner(tiny, shared).run(identity_of(tiny, "proto@cosine"))
