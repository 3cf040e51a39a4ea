"""Signing in at one's company: setting it up, and who may come in by it.

A provider is believed in one thing alone: that whom it sends now is whom it sent before under the same subject. Who
that is here they say themselves, once, with their own password; addresses and names that it claims are never looked at.
And whom an organization's provider sends in acts for that organization alone. So who runs a provider, or takes one
over, gets no further than the organization that chose it.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import oidc
from accounts.models import Identity, IdentityProvider, Membership, Organization, User
from accounts.oidc import Refused
from accounts.services import audit, factors, mail, team

STAFF = "staff"
"""The short name of the operator's own provider."""
_SHORT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,39}\Z")


@dataclass(frozen=True, slots=True)
class Door:
    """A way in: an organization's provider, or the operator's own, for which ``provider`` is None."""

    client: oidc.Client
    provider: IdentityProvider | None = None

    @property
    def mark(self) -> str:
        """What sessions are marked with that are opened by it. Another issuer or client has another."""
        if self.provider is not None:
            return str(self.provider.pk)
        return f"{STAFF}:{hashlib.sha256(repr((self.client.issuer, self.client.client_id)).encode()).hexdigest()[:16]}"

    @property
    def short_name(self) -> str:
        return STAFF if self.provider is None else self.provider.short_name

    @property
    def name(self) -> str:
        """Whose it is, in words."""
        return gettext("The back office") if self.provider is None else self.provider.organization.name


def door(short_name: str) -> Door | None:
    """The way in that is called so."""
    if short_name == STAFF:
        return _staff_door()
    found = IdentityProvider.objects.select_related("organization").filter(short_name=short_name).first()
    return None if found is None else of_organization(found)


def of_organization(provider: IdentityProvider) -> Door:
    """The way in through an organization's provider. It is on the public internet, always."""
    whose = str(provider.organization_id)
    client = oidc.Client(provider.issuer, provider.client_id, provider.client_secret, redirect_uri(whose))
    return Door(client, provider)


def _staff_door() -> Door | None:
    if not settings.STAFF_SSO_ISSUER:
        return None
    return Door(
        oidc.Client(
            settings.STAFF_SSO_ISSUER,
            settings.STAFF_SSO_CLIENT_ID,
            settings.STAFF_SSO_CLIENT_SECRET,
            redirect_uri(STAFF),
            tuple(settings.STAFF_SSO_ALLOWED_NETWORKS),
            is_operators=True,
        )
    )


def staff_mark() -> str:
    """The mark of the sessions that the operator's provider opens, as it is set up now; empty where there is none."""
    way = _staff_door()
    return "" if way is None else way.mark


def redirect_uri(whose: str) -> str:
    """Where a provider sends people back to: another address for each, so that none answers for another."""
    return f"{settings.BASE_URL}{reverse('portal:company-back', args=[whose])}"


def set_up(
    organization: Organization,
    *,
    short_name: str,
    issuer: str,
    client_id: str,
    client_secret: str,
    actor: audit.Actor,
) -> IdentityProvider:
    """Name the organization's provider, once it has answered. Raises ``Refused``.

    Without a new secret the one of before is kept, as long as issuer and client are the same. If they are not, nobody
    is connected any more. With another secret nobody has to come by it, until somebody has again.
    """
    if not _SHORT_NAME.match(short_name) or short_name == STAFF:
        raise Refused(gettext("The short name: 2 to 40 small letters, digits and hyphens."))
    oidc.discover(oidc.Client(issuer, client_id, client_secret, redirect_uri(str(organization.pk))))
    try:
        with transaction.atomic():
            team.lock(organization.pk)
            row = IdentityProvider.objects.filter(organization=organization).first()
            was = None if row is None else _plain(row)
            if row is None or (row.issuer, row.client_id) != (issuer, client_id):
                IdentityProvider.objects.filter(organization=organization).delete()
                row = IdentityProvider(organization=organization, issuer=issuer, client_id=client_id)
            elif client_secret not in {"", row.client_secret}:
                row.required = False
                row.identities.update(last_used_at=None)
            row.short_name = short_name
            row.client_secret = client_secret or row.client_secret
            if not row.client_secret:
                raise Refused(gettext("The client secret is missing."))
            row.save()
            _record(actor, "single_sign_on.set_up", organization, was, _plain(row))
    except IntegrityError:
        raise Refused(gettext("This short name is taken.")) from None
    return row


def require(provider: IdentityProvider, *, required: bool, by: User, actor: audit.Actor) -> None:
    """Let members in by the provider alone, or with their password too. Raises ``Refused``.

    Owners always get in with password and second factor, whatever becomes of the provider. Who turns it on has come by
    it themselves, with the secret that is set now: so it is known to work.
    """
    with transaction.atomic():
        team.lock(provider.organization_id)
        row = IdentityProvider.objects.get(pk=provider.pk)
        if required and not row.identities.filter(user=by, last_used_at__isnull=False).exists():
            raise Refused(gettext("Connect your own account first: so it is known that the provider lets people in."))
        was, row.required = _plain(row), required
        row.save(update_fields=["required"])
        _record(actor, "single_sign_on.required" if required else "single_sign_on.optional", row, was, _plain(row))


def remove(provider: IdentityProvider, *, actor: audit.Actor) -> None:
    """Nobody comes in by it any more, and who did is out with their next click."""
    with transaction.atomic():
        team.lock(provider.organization_id)
        _record(actor, "single_sign_on.removed", provider, _plain(provider), None)
        provider.delete()


def identify(way: Door, known: oidc.Known) -> User | None:
    """Who has said that the provider's subject is them, if they may still come in by it."""
    identity = (
        Identity.objects.select_related("user")
        .filter(provider=way.provider, issuer=way.client.issuer, subject=known.subject)
        .first()
    )
    if identity is None or not may_connect(way, identity.user):
        return None
    Identity.objects.filter(pk=identity.pk).update(last_used_at=timezone.now())
    return identity.user


def may_connect(way: Door, user: User) -> bool:
    """Whether the person may come in by it: staff by the operator's own, and never by an organization's."""
    is_staff = user.is_staff or user.is_superuser
    if not user.is_active or is_staff != (way.provider is None):
        return False
    return way.provider is None or _membership(way.provider, user) is not None


def connect(way: Door, user: User, subject: str, *, actor: audit.Actor) -> Identity:
    """Whom the provider knows by this subject is this person: they said so, with their own password.

    It replaces what they said before, and then the person's sessions end: whoever that subject was is out. Raises
    ``Refused``.
    """
    if not may_connect(way, user):
        raise Refused(gettext("{email} is no member of {name}.").format(email=user.email, name=way.name))
    membership = None if way.provider is None else _membership(way.provider, user)
    try:
        with transaction.atomic():
            replaced, _rows = Identity.objects.filter(provider=way.provider, user=user).delete()
            identity = Identity.objects.create(
                provider=way.provider,
                membership=membership,
                user=user,
                issuer=way.client.issuer,
                subject=subject,
                last_used_at=timezone.now(),
            )
            if replaced:
                factors.end_sessions(user)
            _record_person(actor, "single_sign_on.connected", identity)
            mail.tell(
                user,
                _("Your company's sign-in was connected"),
                _("You can sign in at {issuer} now, for {name}."),
                issuer=way.client.issuer,
                name=way.name,
            )
    except IntegrityError:
        raise Refused(gettext("Another account is connected with this sign-in already.")) from None
    return identity


def disconnect(identity: Identity, *, actor: audit.Actor) -> None:
    """The person comes in by it no more, and their sessions end."""
    with transaction.atomic():
        _record_person(actor, "single_sign_on.disconnected", identity)
        identity.delete()
        factors.end_sessions(identity.user)


def of(user: User) -> Sequence[Identity]:
    """Where the person has said that they are known."""
    return list(Identity.objects.filter(user=user).select_related("provider__organization").order_by("created_at"))


def open_to(user: User) -> Sequence[Door]:
    """The ways in that the person could still connect."""
    providers = IdentityProvider.objects.select_related("organization").filter(organization__memberships__user=user)
    ways = [*map(of_organization, providers.order_by("organization__name")), _staff_door()]
    connected = {identity.provider_id for identity in of(user)}
    return [way for way in ways if way is not None and _row_of(way) not in connected and may_connect(way, user)]


def remind(email: str) -> None:
    """Write to this address which short names sign its owner in; to nobody, with as much work, where there are none."""
    nobody = User()
    user = User.objects.filter(email=email.strip().lower(), is_active=True).first() or nobody
    theirs = IdentityProvider.objects.filter(organization__memberships__user_id=user.pk)
    page = f"{settings.BASE_URL}{reverse('portal:company')}"
    links = "\n".join(f"{page}?name={name}" for name in theirs.values_list("short_name", flat=True))
    text = _("Sign in with your company here:\n{links}")
    mail.tell(user if links else nobody, _("Sign in with your company"), text, links=links)


def _row_of(way: Door) -> UUID | None:
    return None if way.provider is None else way.provider.pk


def _membership(provider: IdentityProvider, user: User) -> Membership | None:
    return Membership.objects.filter(organization=provider.organization_id, user=user).first()


def _plain(provider: IdentityProvider) -> dict[str, object]:
    return {name: getattr(provider, name) for name in ("short_name", "issuer", "client_id", "required")}


def _record(
    actor: audit.Actor,
    action: str,
    whose: Organization | IdentityProvider,
    before: dict[str, object] | None,
    after: dict[str, object] | None,
) -> None:
    organization_id = whose.pk if isinstance(whose, Organization) else whose.organization_id
    audit.record(
        actor=actor,
        action=action,
        object_type="organization",
        object_id=str(organization_id),
        organization_id=organization_id,
        before=before,
        after=after,
    )


def _record_person(actor: audit.Actor, action: str, identity: Identity) -> None:
    organization_id = None if identity.provider is None else identity.provider.organization_id
    audit.record(
        actor=actor,
        action=action,
        object_type="user",
        object_id=str(identity.user_id),
        organization_id=organization_id,
        after={"issuer": identity.issuer},
    )
