"""What lines of invoices, fees and entries say, for readers of other languages. They are kept in English."""

from django.utils.translation import gettext_noop

from accounts.phrases import Phrases

_LINES = Phrases(
    (
        gettext_noop("Unused: {plan}, {span}"),
        gettext_noop("{plan}, minimum of {span}"),
        gettext_noop("{line}: flat amount"),
        gettext_noop("{line}, all units"),
        gettext_noop("{line}, up to {most}"),
        gettext_noop("{line}, above {least} to {most}"),
        gettext_noop("{line}, above {least}"),
        gettext_noop("{plan}, {first} to {last}"),
        gettext_noop("{first} to {last}"),
        gettext_noop("{day} Mar {year}"),
        gettext_noop("{day} May {year}"),
        gettext_noop("{day} Oct {year}"),
        gettext_noop("{day} Dec {year}"),
    )
)


def line(description: str) -> str:
    """A line's description in the reader's language: ``Unused: Pro, 9 Dec 2026 to 1 Jan 2027``."""
    return _LINES.said(description)
