"""Why a run failed, for the terminal: the error in one line, and the place in a method's code that led to it."""

from __future__ import annotations

import linecache
import traceback
from pathlib import Path

from pydantic import ValidationError

from benchmarks.system.errors import SESSION, USER_ERRORS
from benchmarks.system.files import SUITE_ROOT
from protocols.messages import explain, first_line

NOT_A_METHODS = ("methods.contract.", "methods.parts.")
"""Modules of methods/ whose code is the suite's: what stands there is named only if no method's own code led to it."""


def explained(error: BaseException) -> str:
    """One line on why a run failed."""
    text = first_line(error)
    if isinstance(error, USER_ERRORS):
        return text
    session = next((note for note in getattr(error, "__notes__", ()) if note.startswith(SESSION)), "")
    where = f"{session}: " if session and not text.startswith(f"{session}: ") else ""
    if "more than 1 value per channel" in text:  # torch; planning finds it where a session has no exemplars
        return f"{where}batch norm cannot train on a batch of one image; change the method's batch, or its batch_norm to eval ({text})"
    if isinstance(error, ValidationError):  # its first line counts the faults, and names none
        return f"{where}{error.title}, {explain(error)}"
    return f"{type(error).__name__}: {where}{text}".rstrip(": ")


def place_of(error: BaseException) -> str:
    """The last line of a method's own code that led to an error, such as `methods/lecnet.py, line 12, in scores: x = self.gates[9]`; that
    of any code of methods/ if there is none of a method's own; '' if the error came from elsewhere."""
    chain = [error]
    while (behind := chain[-1].__cause__ or chain[-1].__context__) is not None and behind not in chain:
        chain.append(behind)
    found = [frame for one in chain for frame in reversed(frames_of(one))]
    frame = next((frame for name, frame in found if not name.startswith(NOT_A_METHODS)), found[0][1] if found else None)
    if frame is None:
        return ""
    line = frame.lineno or 0
    return f"{shown(Path(frame.filename))}, line {line}, in {frame.name}: {linecache.getline(frame.filename, line).strip()}"


def frames_of(error: BaseException) -> list[tuple[str, traceback.FrameSummary]]:
    """Module and frame of all code of methods/ in an error's traceback, the innermost last."""
    found = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        name, code = str(frame.f_globals.get("__name__")), frame.f_code
        if name.startswith("methods."):
            found.append((name, traceback.FrameSummary(code.co_filename, line, code.co_name)))
    return found


def shown(path: Path) -> str:
    """A path as a message names it: from the suite's or the working folder on, if it lies there."""
    for folder in (SUITE_ROOT, Path.cwd()):
        if path.is_relative_to(folder):
            return str(path.relative_to(folder))
    return str(path)
