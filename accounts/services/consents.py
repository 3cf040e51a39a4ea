"""Consent to the terms: which version a person agreed to, when, from where. Without a version nothing is asked."""

from django.conf import settings
from django.db import transaction

from accounts.models import Consent, User
from accounts.services import audit


def owed(user: User) -> bool:
    """Whether the person has yet to agree to the terms that apply now."""
    version = settings.TERMS_VERSION
    return bool(version) and not Consent.objects.filter(user=user, version=version).exists()


def give(user: User, *, version: str, actor: audit.Actor) -> Consent:
    """Note that the person agrees to this version. Agreeing twice changes nothing."""
    with transaction.atomic():
        consent, made = Consent.objects.get_or_create(
            user=user, version=version, defaults={"url": settings.TERMS_URL, "ip_address": actor.ip_address}
        )
        if made:
            said = {"version": version}
            audit.record(actor=actor, action="terms.agreed", object_type="user", object_id=str(user.pk), after=said)
    return consent
