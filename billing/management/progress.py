"""A bar for long work: drawn in place on a terminal, a line now and then elsewhere."""

import time
from types import TracebackType
from typing import Any, Self

WIDTH = 30
REDRAW_SECONDS = 0.2
LINE_SECONDS = 10.0


class Progress:
    """``with Progress(out, total=…, unit="events") as progress: progress.advance(100)``."""

    def __init__(self, out: Any, *, total: int, unit: str) -> None:
        self._out = out
        self._total = total
        self._unit = unit
        self._done = 0
        self._started = time.monotonic()
        self._drawn = self._started if not out.isatty() else 0.0
        self._every_seconds = REDRAW_SECONDS if out.isatty() else LINE_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._out.isatty():
            self._draw()
            self._out.write("")

    def advance(self, count: int) -> None:
        """``count`` more are done."""
        self._done += count
        if time.monotonic() - self._drawn >= self._every_seconds:
            self._drawn = time.monotonic()
            self._draw()

    def _draw(self) -> None:
        share = self._done / self._total if self._total else 1.0
        seconds = time.monotonic() - self._started
        rate = self._done / seconds if seconds > 0 else 0.0
        bar = "█" * round(share * WIDTH) + "░" * (WIDTH - round(share * WIDTH))
        text = f"{bar} {share:4.0%}  {self._done:,} of {self._total:,} {self._unit}  {rate:,.0f}/s"
        if self._out.isatty():
            self._out.write(f"\r{text} ", ending="")
            self._out.flush()
        else:
            self._out.write(text)
