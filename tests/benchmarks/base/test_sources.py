"""What a run notes of its sources is what ran: the files may have been edited since they were imported."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.base.sources import kind_at_work, note_sources, sources_at_work
from benchmarks.records.source_hash import kind_hash, source_hash
from methods.parts.own_files import forget_own_files
from protocols.own_folder import take_own_folder
from tests.benchmarks.conftest import MakeIdentity

METHOD = """from methods.contract import FeatureMethod


class Mine(FeatureMethod):
    title = "Mine"

    def learn(self, features, labels):
        pass
"""
KIND = """from methods.contract import BaseKind


class Soft(BaseKind):
    version = 3
"""


def test_an_edit_after_the_import_is_of_the_next_process(own_methods: Path, make_identity: MakeIdentity) -> None:
    (own_methods / "mine.py").write_text(METHOD)
    (own_methods / "bases" / "soft.py").write_text(KIND)
    take_own_folder(None)
    run = make_identity("mine:default", base="soft")
    note_sources([run])
    method, kind = sources_at_work(run), kind_at_work("soft")
    assert None not in (method, kind)
    for file in (own_methods / "mine.py", own_methods / "bases" / "soft.py"):
        file.write_text(file.read_text() + "\nMORE = 1\n")
        os.utime(file, (0, 0))
    assert source_hash("mine", "soft") != method and kind_hash("soft") != kind
    assert (sources_at_work(run), kind_at_work("soft")) == (method, kind), "this process runs what it has imported"
    forget_own_files()
    take_own_folder(None)
    assert (sources_at_work(run), kind_at_work("soft")) == (source_hash("mine", "soft"), kind_hash("soft"))


def test_what_cannot_be_imported_is_left_to_its_run(own_methods: Path, make_identity: MakeIdentity) -> None:
    (own_methods / "mine.py").write_text("import nothing_of_this_name\n")
    take_own_folder(None)
    note_sources([make_identity("mine:default")])
