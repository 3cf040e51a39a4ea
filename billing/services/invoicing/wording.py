"""What lines of invoices, fees and entries say, for readers of other languages. They are kept in English."""

from django.utils.translation import gettext_noop

from accounts.phrases import Phrases

_DAY = r"\d{1,2} [A-Z][a-z]{2} \d{4}"
_NUMBER = r"\d[\d,.]*"
_LINES = Phrases(
    texts=(
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
    ),
    # Names of plans and meters are nobody's to translate: "Speech to text" is no span of days.
    shapes={
        **{"span": f"{_DAY} to {_DAY}", "first": _DAY, "last": _DAY, "day": r"\d{1,2}", "year": r"\d{4}"},
        **{"least": _NUMBER, "most": _NUMBER},
    },
)


def line(description: str) -> str:
    """A line's description in the reader's language: ``Unused: Pro, 9 Dec 2026 to 1 Jan 2027``."""
    return _LINES.said(description)
