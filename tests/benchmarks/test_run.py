"""Where a run's numbers come from."""

from __future__ import annotations

import subprocess

import pytest

from benchmarks import run


@pytest.mark.parametrize(("status", "expected"), [("", "abc"), (" M methods/proto.py", "abc+changes"), (None, "unknown")])
def test_commit_says_whether_the_code_was_changed(status: str | None, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record made by uncommitted code must not name a commit that did not make it."""

    def git(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        if status is None:
            raise subprocess.CalledProcessError(128, command)
        return subprocess.CompletedProcess(command, 0, stdout=status if command[1] == "status" else "abc\n")

    monkeypatch.setattr(subprocess, "run", git)
    run.git_commit.cache_clear()
    assert run.git_commit() == expected
    run.git_commit.cache_clear()
