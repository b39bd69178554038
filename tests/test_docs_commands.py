"""Every command of the documents is one that the program takes: its options fit together, and its runs can be planned."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from benchmarks.cli.main import asked_for, refuse_without_effect
from benchmarks.cli.options import DEFAULT, parser
from benchmarks.system.settings import Settings
from protocols import load_protocol

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
THEIRS = re.compile(r"my_|median|smooth|shrunk|data/|FOLDER|clean ")
"""In commands on files that the reader has, or is to write; and `clean`, which has options of its own."""


def commands(document: str) -> list[str]:
    """Commands of run_all.py in the fenced blocks of shell code, without comments, continued lines joined."""
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.partition("run_all.py")[2] for line in lines if re.search(r"python run_all.py( |$)", line)]


COMMANDS = [(document, command) for document in DOCUMENTS for command in commands(document) if not THEIRS.search(command)]


def test_commands_are_found() -> None:
    assert len(COMMANDS) >= 36
    assert {"docs/USING.md", "docs/CLUSTER.md", "docs/STUDIES.md"} <= {document for document, _ in COMMANDS}


@pytest.mark.parametrize(("document", "command"), COMMANDS)
def test_a_documented_command_is_one(document: str, command: str, tmp_path: Path) -> None:
    options = parser().parse_args([*shlex.split(command, comments=True), "--data-root", str(tmp_path)])
    refuse_without_effect(options)
    protocol = load_protocol(options.protocol or DEFAULT)
    modes = (options.list, options.check, options.compare, options.confusion, options.export, options.merge)
    if any(modes) or options.verify or options.report_only:
        return
    runs, _ = asked_for(options, protocol, Settings.of(options))
    assert runs
