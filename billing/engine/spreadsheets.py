"""Texts that a spreadsheet must not run."""

_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Also their full-width forms, which some programs take for the same."""


def harmless(text: str) -> str:
    """The text for a CSV file: led by an apostrophe where a spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(_STARTS_A_FORMULA) else text
