"""What the product asks of whoever knows the taxes, in its own words: our own table, or a provider of that."""

from dataclasses import dataclass
from datetime import date
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from billing.engine.taxes import Decision


@dataclass(frozen=True, slots=True)
class Sale:
    """Who buys, where they are, and when. ``tax_id`` is empty for a consumer."""

    customer: str
    country: str
    region: str
    tax_id: str
    exempt: bool
    on: date


class Unknown(Exception):
    """What tax is due could not be found out now. Nothing is sold untaxed because of that."""


class Provider(Protocol):
    """``decide`` may use the network: it is called outside of transactions. May raise ``Unknown``."""

    def decide(self, sale: Sale) -> Decision: ...


def provider() -> Provider:
    """The one that ``TAX_PROVIDER`` names."""
    made: Provider = import_string(settings.TAX_PROVIDER)()
    return made
