"""Links to a customer's balance or usage for the operator's own pages: signed, short-lived, to be shown in a frame.

Nothing is stored: the link itself says whose, what and until when. It also names the API key that it was made with, and
opens nothing once that key has ended: to take back all of a key's links, revoke or rotate the key.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.utils import timezone

from accounts.services import api_keys
from billing.models import Customer

BALANCE, USAGE = "balance", "usage"
VIEWS = {BALANCE: "wallets:read", USAGE: "events:read"}
"""What can be shown, and the scope that the key needs for it."""
SECONDS_MIN, SECONDS_MAX, SECONDS = 60, 3600, 900
_SALT = "ante.embed"


@dataclass(frozen=True, slots=True)
class Embed:
    """A link, and when it ends."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Opened:
    """What a link shows, and of whom."""

    customer: Customer
    view: str
    expires_at: datetime


def issue(*, customer: Customer, view: str, key_id: UUID, seconds: int = SECONDS) -> Embed:
    """A link to ``view``, one of ``VIEWS``, that opens for so many seconds."""
    expires_at = (timezone.now() + timedelta(seconds=seconds)).replace(microsecond=0)
    said = {"customer": str(customer.pk), "view": view, "key": str(key_id), "until": int(expires_at.timestamp())}
    token = signing.dumps(said, salt=_SALT)
    return Embed(f"{settings.BASE_URL.rstrip('/')}/embed/{token}", expires_at)


def opened(token: str) -> Opened | None:
    """What the link shows; None where it has ended, its key has, or it was not made here."""
    try:
        said = signing.loads(token, salt=_SALT, max_age=SECONDS_MAX)
    except signing.BadSignature:
        return None
    expires_at = datetime.fromtimestamp(said["until"], UTC)
    if expires_at <= timezone.now() or not api_keys.works(UUID(said["key"])):
        return None
    customer = Customer.objects.select_related("organization").filter(pk=said["customer"]).first()
    return None if customer is None else Opened(customer, said["view"], expires_at)
