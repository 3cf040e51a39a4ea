"""Opening an account by oneself: a wallet for whoever proves that an e-mail address is theirs.

Nothing is stored before that: what was asked for travels in the link, signed. The password comes with the proof, so
that nobody sets one for an address of somebody else.
"""

import secrets
from dataclasses import asdict, dataclass
from datetime import timedelta

from django.conf import settings
from django.core import signing
from django.db import IntegrityError, transaction
from django.utils.text import slugify
from django.utils.translation import gettext

from accounts.models import Membership, Role, User
from accounts.reading import active
from accounts.services import mail
from accounts.services.audit import Actor
from billing.errors import AlreadyExists
from billing.models import Asset, Plan
from billing.services import subscriptions
from billing.services.customer import customers

VALID_FOR = timedelta(hours=24)
CURRENCY = "usd"
"""Of a wallet that is opened without a plan."""
_SALT = "ante.sign-up"


@dataclass(frozen=True, slots=True)
class Asked:
    """Who wants an account, and on which plan; empty for none."""

    email: str
    name: str
    company: str
    plan: str = ""


def ask(asked: Asked) -> str:
    """Send a link to the address, and return it. One that has an account is told so there, with the way to sign in;
    nothing else tells the difference."""
    if User.objects.filter(email=asked.email).exists():
        link = f"{settings.BASE_URL}/sign-in"
        text = gettext("There is an account for this address already. Sign in: {link}").format(link=link)
    else:
        link = f"{settings.BASE_URL}/sign-up/{signing.dumps(asdict(asked), salt=_SALT, compress=True)}"
        text = gettext(
            "Open your account within 24 hours: {link}\n\nIf this was not you, do nothing: there is no account yet."
        ).format(link=link)
    mail.queue(asked.email, gettext("Your account"), text)
    return link


def read(token: str) -> Asked | None:
    """What a link asks for; None where it has lapsed, was not made here, or has been used."""
    try:
        asked = Asked(**signing.loads(token, salt=_SALT, max_age=VALID_FOR))
    except signing.BadSignature:
        return None
    return None if User.objects.filter(email=asked.email).exists() else asked


def open_account(asked: Asked, *, password: str, ip_address: str | None, request_id: str) -> User:
    """The person, their organization with its wallet, and the plan that they chose, if it is still offered.

    Raises ``AlreadyExists`` where the link was used at the same time.
    """
    plan = Plan.objects.filter(code=asked.plan, offered=True).select_related("currency").first()
    currency = plan.currency if plan is not None else Asset.objects.get(pk=CURRENCY)
    try:
        with transaction.atomic():
            user = User.objects.create_user(asked.email, password, name=asked.name, language=active().language)
            actor = Actor.of_user(user, ip_address=ip_address, request_id=request_id)
            customer = customers.create(
                actor=actor,
                external_id=f"{slugify(asked.company)[:40] or 'customer'}-{secrets.token_hex(4)}",
                name=asked.company,
                currency=currency,
            )
            Membership.objects.create(user=user, organization=customer.organization, role=Role.OWNER)
    except IntegrityError as error:
        raise AlreadyExists("This link was used already: sign in.") from error
    if plan is not None:
        subscriptions.start(actor=actor, customer=customer, plan=plan)
    return user
