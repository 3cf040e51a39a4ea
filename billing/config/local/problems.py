"""The one error that this package raises on purpose."""


class Problem(Exception):
    """Something the person at the command line can mend. Its text is one sentence, printed without a traceback."""
