"""The real command, killed anywhere and started again: its results come out byte for byte as if nothing had happened.

Two threads kill at a time, 35 kills in all:

- 18 of a single run in the launcher's own process: at every half-written file, every rename and removal, and every epoch and
  session that it tells of. It is SI's, whose base has the most state, with a checkpoint after every epoch;
- 12 of the command that writes the tables: at every step;
- 5 of four runs over two workers, at random: all processes, one alone, the launcher alone, and all by the clock.
  `--kills 300` asks for 300 in all, the more of this last kind.

After every kill, what is there must be whole. What a killed writer leaves is never read, and is gone in the end.
"""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from tests.trust.harness import Chain, Command, Ended, Tree, files

SINGLE = ("--methods", "si", "--seeds", "0")
SEVERAL = ("--methods", "proto,ft_cnn", "--seeds", "0-1", "--workers", "2")
OF_ONE, OF_TABLES, AT_RANDOM = 18, 12, 5


def undisturbed(command: Command) -> tuple[Ended, Tree]:
    ended = command.run()
    assert ended.status == 0, ended.err
    return ended, files(command.results)


def kill_one_run(folder: Path, data_root: Path) -> int:
    """At every step, and then at every step of writing its tables."""
    command = Command(folder / "undisturbed", data_root, SINGLE)
    _, tree = undisturbed(command)
    steps = [f"{kind} {place}/*" for kind in ("flush", "replace", "remove") for place in (".base", "records")]
    run = Chain(replace(command, results=folder / "killed"), tree).everywhere("say *", *steps)
    tables = Chain(replace(run.command, arguments=("--report-only",)), tree).everywhere("* *.md*")
    assert (run.kills, tables.kills) == (OF_ONE, OF_TABLES)
    return OF_ONE + OF_TABLES


def kill_several(folder: Path, data_root: Path, wanted: int) -> int:
    """One chain after another until there are as many kills."""
    command = Command(folder / "undisturbed", data_root, SEVERAL)
    ended, tree = undisturbed(command)
    draw, kills = random.Random(5), 0
    for number in count():
        if kills >= wanted:
            break
        chain = Chain(replace(command, results=folder / f"killed{number}"), tree)
        kills += chain.at_random(draw, wanted - kills, ended.seconds).kills
    return kills


def test_killed_anywhere_it_goes_on_to_the_same_bytes(tmp_path: Path, data_root: Path, pytestconfig: pytest.Config) -> None:
    wanted = pytestconfig.getoption("kills")
    for name in ("one", "several"):
        (tmp_path / name).mkdir()
    with ThreadPoolExecutor(2) as two:
        one = two.submit(kill_one_run, tmp_path / "one", data_root)
        several = two.submit(kill_several, tmp_path / "several", data_root, max(AT_RANDOM, wanted - OF_ONE - OF_TABLES))
        kills = one.result() + several.result()
    print(f"{kills} kills")
    assert kills >= max(30, wanted)
