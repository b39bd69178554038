"""The live part of a terminal: a bar for the sweep, and a line for each run at work."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

INTERVAL = 0.25  # seconds between two frames
BAR = 30  # columns

Row = tuple[str, str, str]
"""Name of a run, how far it is, its time left."""


class Screen:
    """Draws below the lines that are printed. A frame that has not changed is not drawn again, and no line is wider than the terminal."""

    def __init__(self, out: TextIO) -> None:
        self.console = Console(file=out, highlight=False)
        self.live: Live | None = None
        self.shown: object = None
        self.drawn = 0.0

    @property
    def moves(self) -> bool:
        """Whether the terminal can draw over what it has drawn."""
        return not self.console.is_dumb_terminal

    def print(self, text: str) -> None:
        """Prints lines above the live part; long ones are folded at the terminal's width."""
        self.console.print(Text(text, overflow="fold"))
        self.drawn = 0.0

    def draw(self, done: int, total: int, left: str, rows: Sequence[Row]) -> None:
        """Shows these numbers of runs and these runs at work, unless they are shown already or a frame was drawn just now."""
        frame, now = (done, total, left, tuple(rows)), time.monotonic()
        if frame == self.shown or (self.live is not None and now - self.drawn < INTERVAL):
            return
        self.shown, self.drawn = frame, now
        picture = Group(self._bar(done, total, left), *([self._runs(rows)] if rows else []))
        if self.live is None:
            self.live = Live(console=self.console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
            self.live.start()
            self.console.show_cursor(True)  # a process that is killed would leave the terminal without one
        self.live.update(picture, refresh=True)

    def _bar(self, done: int, total: int, left: str) -> Table:
        grid = Table.grid(padding=(0, 1), pad_edge=False)
        for width in (BAR, None, None):
            grid.add_column(no_wrap=True, overflow="ellipsis", width=width)
        grid.add_row(ProgressBar(total=total, completed=done, width=BAR), f"{done}/{total} runs", left)
        return grid

    def _runs(self, rows: Sequence[Row]) -> Table:
        grid = Table.grid(padding=(0, 2), pad_edge=False)
        names = min(max(len(name) for name, _, _ in rows), self.console.width // 2)
        for width, ratio in ((names, None), (None, 1), (None, None)):
            grid.add_column(no_wrap=True, overflow="ellipsis", min_width=width, ratio=ratio)
        for name, text, left in rows:
            grid.add_row(Text(name), Text(text), Text(left))
        return grid

    def close(self) -> None:
        """Removes the live part."""
        if self.live is not None:
            self.live.stop()
            self.live = None
