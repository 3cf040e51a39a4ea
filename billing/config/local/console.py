"""What the person in front of ``manage.py up`` sees: lines, each with the name of the process it comes from."""

import os
import sys
import threading

WIDTH = 8
COLOURS = (36, 33, 35, 32, 34, 96, 93, 95)


class Console:
    """Whole lines only, from any thread. Coloured on a terminal, unless NO_COLOR is set."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._colours: dict[str, int] = {}

    def say(self, name: str, line: str) -> None:
        with self._lock:
            label = f"{name:<{WIDTH}} |"
            if self._coloured:
                colour = self._colours.setdefault(name, COLOURS[len(self._colours) % len(COLOURS)])
                label = f"\x1b[{colour}m{label}\x1b[0m"
            self._write(f"{label} {line}\n")

    def progress(self, text: str) -> None:
        """A step of the set-up, or an event of the whole."""
        self.say("ante", text)

    def block(self, text: str) -> None:
        """Something to read, set apart from the logs."""
        with self._lock:
            self._write(f"\n{text.rstrip()}\n\n")

    def _write(self, text: str) -> None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except (BrokenPipeError, ValueError):
            pass  # Nobody reads any more; the processes go on all the same.
