"""The real command, killed anywhere and started again: its results come out byte for byte as if nothing had happened.

- A single run, in the launcher's own process, at every half-written file, every rename and removal, and every epoch and session that
  it tells of. It is SI's, whose base has the most state, with a checkpoint after every epoch.
- The command that writes the tables, at every step.
- Four runs over two workers, at random: all of it by the clock, the launcher alone, a worker alone. `--kills 300` asks for 300 kills
  in all, the more of this last kind.

After every kill, what is there must be whole. What a killed writer leaves is never read, and is gone in the end.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from tests.trust.harness import Chain, Command, Forked, Nursery, files, one_by_one

SINGLE = ("--methods", "si", "--seeds", "0")
SEVERAL = ("--methods", "proto,ft_cnn", "--seeds", "0-1", "--workers", "2")
EVERYWHERE, AT_RANDOM = 30, 2


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    made = Nursery()
    yield made
    made.close()


def struck(chain: Chain) -> list[str]:
    """`kind path` of every step at which it was killed."""
    lines = Path(chain.plan("everywhere", "group", (), 0).log).read_text().splitlines()
    return [line.partition(" at ")[2] for line in lines if line.startswith("!")]


def test_a_run_and_its_tables_killed_at_every_step(nursery: Nursery, tmp_path: Path, data_root: Path) -> None:
    command = Forked(tmp_path / "undisturbed", data_root, SINGLE, nursery)
    ended = command.run()
    assert ended.status == 0, ended.err
    tree = files(command.results)
    steps = [f"{kind} {place}/*" for kind in ("flush", "replace", "remove") for place in (".base", "records")]
    run = Chain(replace(command, results=tmp_path / "killed"), tree).everywhere("say *", *steps)
    for kind in ("flush", "replace"):
        for file in (".safetensors", ".checkpoint", ".features", ".npz", ".cost.json", "seed00.json"):
            assert any(step.startswith(kind) and file in step for step in struck(run)), f"{kind} of {file}"
    tables = Chain(replace(run.command, results=tmp_path / "tables", arguments=("--report-only",)), tree)
    assert run.command.results.rename(tables.command.results)
    for table in tables.command.results.glob("*.md"):
        table.unlink()
    tables.everywhere("* *.md*")
    for name in ("tiny.md", "tiny.matrix.md", "tiny.costs.md"):
        assert sum(name in step for step in struck(tables)) > 1, name
    print(f"{run.kills} + {tables.kills} kills")


def test_workers_killed_at_random(tmp_path: Path, data_root: Path, pytestconfig: pytest.Config) -> None:
    """One chain after another until there are as many kills."""
    wanted = max(AT_RANDOM, pytestconfig.getoption("kills") - EVERYWHERE)
    tree = one_by_one(tmp_path / "undisturbed", data_root, ("proto", "ft_cnn"), (0, 1))
    command = Command(tmp_path / "undisturbed", data_root, SEVERAL)
    ended = command.run()
    assert ended.out.splitlines()[-1] == "0 runs done, 4 were there already, 0 failed"
    draw, kills = random.Random(5), 0
    for number in count():
        if kills >= wanted:
            break
        chain = Chain(replace(command, results=tmp_path / f"killed{number}"), tree)
        kills += chain.at_random(draw, wanted - kills, 2.5 * ended.seconds).kills
    print(f"{kills} kills")
