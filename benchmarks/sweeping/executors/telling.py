"""How an element tells its launcher what happens: lines of JSON in a file beside the plan, `<number>.events`.

The file is opened anew for each line, so that other nodes see it as soon as their file system lets them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.sweeping.progress import Event
from benchmarks.system.errors import StorageError

INTERVAL = 2.0  # seconds between two lines about the progress of one run
CHANGED = "the suite's files have changed since this element was submitted"
"""What an element says that refuses to run on other sources than it was planned with."""


def events_path(folder: Path, number: int) -> Path:
    return folder / f"{number}.events"


class Teller:
    """An element's end. Raises StorageError where the file cannot be written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: dict[str, float] = {}
        self._write("\n")  # a killed element may have left half a line

    def event(self, event: Event) -> None:
        now = time.monotonic()
        if event.kind in ("progress", "waits") and now - self.told.get(event.key, -INTERVAL) < INTERVAL:
            return
        self.told[event.key] = now
        self._write(json.dumps(asdict(event)) + "\n")

    def tick(self) -> None:
        """Tells nothing: a line only comes where something has happened."""

    def note(self, text: str) -> None:
        self._write(json.dumps({"note": text}) + "\n")

    def began(self, text: str) -> None:
        """Tells that the element has begun, and where."""
        self._write(json.dumps({"began": text}) + "\n")

    def _write(self, line: str) -> None:
        try:
            with self.path.open("a") as target:
                target.write(line)
        except OSError as error:
            raise StorageError.of(self.path, error) from None


class Reader:
    """The launcher's end: yields each whole line once."""

    def __init__(self, path: Path, from_now: bool = False) -> None:
        self.path, self.offset = path, 0
        self.offset = len(self._more()) if from_now else 0
        self.began = self.offset > 0

    def _more(self) -> bytes:
        """What stands in the file after what has been read."""
        try:
            with self.path.open("rb") as source:
                source.seek(self.offset)
                return source.read()
        except OSError:  # not begun, or not to be seen yet
            return b""

    def read(self) -> Iterator[Event | str]:
        """Events of runs, and lines that concern no single run."""
        content = self._more()
        whole = content[: content.rfind(b"\n") + 1]
        self.offset += len(whole)
        for line in filter(None, whole.split(b"\n")):
            try:
                said = json.loads(line)
                if "began" in said:
                    self.began = True
                elif "note" in said:
                    yield str(said["note"])
                else:
                    yield Event(**{**said, "more": tuple(said["more"])})
            except (ValueError, TypeError, KeyError):  # half a line
                continue
