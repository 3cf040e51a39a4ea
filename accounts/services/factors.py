"""Second factors: enrolling, checking, removing them. The only place where a code is accepted.

Every attempt of a person runs under the lock of that person's row: of twenty submissions of one code one is accepted,
and failures are counted one after the other, whichever factor was tried.
"""

import base64
import logging
import secrets
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_otp import devices_for_user
from django_otp.models import Device
from django_otp.oath import TOTP

from accounts import demo
from accounts.models import Authenticator, RecoveryCode, RecoverySet, User
from accounts.services import audit, mail

FREE_FAILURES = 5
FIRST_DELAY_SECONDS = 30
DELAY_MAX_SECONDS = 900
DIGITS = 6
STEP_SECONDS = 30
RECOVERY_CODES = 10
PENDING_LIFE = timedelta(days=1)
"""How long somebody may take to set up an app."""
SECRET_CHARACTERS = 16
"""Of 31 kinds each, those that look alike left out: 79 bits, which nobody guesses."""
ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
ISSUER = "Ante"

logger = logging.getLogger(__name__)

_D = TypeVar("_D", bound=Device)


class WrongCode(Exception):
    """Not the code, or one that was used before."""


class TooManyCodes(Exception):
    """Nothing is looked at for ``seconds`` more."""

    def __init__(self, seconds: int) -> None:
        super().__init__(gettext("Too many wrong codes. Try again in {seconds} seconds.").format(seconds=seconds))
        self.seconds = seconds


def of(user: User) -> list[Device]:
    """The person's factors, without the recovery codes, which only stand in for one."""
    return [device for device in devices_for_user(user) if not isinstance(device, RecoverySet)]


def enrolled(user: User) -> bool:
    """Whether the person has a second factor."""
    return bool(of(user))


def begin(user: User, *, pending: int | None = None, confirmed: bool = False) -> Authenticator:
    """An authenticator app that this person is about to set up: ``pending``, if that still is one, else a new one.

    Each session has one of its own. Its secret is shown, and who saw it in another session must not know the factor.
    ``confirmed`` where nobody shall: for the people of a demonstration.
    """
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        waiting = Authenticator.objects.filter(user=user, confirmed=False)
        found: Authenticator | None = waiting.filter(pk=pending).first()
        if found is None:
            waiting.filter(created_at__lt=timezone.now() - PENDING_LIFE).delete()
            found = Authenticator(
                user=user,
                confirmed=confirmed,
                name=_free_name(user) if confirmed else f"Not set up yet {secrets.token_hex(8)}",
                secret=base64.b32encode(secrets.token_bytes(20)).decode(),
            )
            found.save()
        return found


def uri(device: Authenticator) -> str:
    """What the QR code says to the app."""
    label = quote(f"{ISSUER}:{device.user.email}")
    terms = {"secret": device.secret, "issuer": ISSUER, "algorithm": "SHA1", "digits": DIGITS, "period": STEP_SECONDS}
    return f"otpauth://totp/{label}?{urlencode(terms)}"


def confirm(user: User, code: str, *, pending: int | None, actor: audit.Actor) -> Authenticator:
    """The app shows the right digits: from now on it is one of the person's factors, and other sessions end.

    ``pending`` is the id of what ``begin`` gave. Raises ``WrongCode`` and ``TooManyCodes``.
    """

    def accept(device: Authenticator) -> None:
        device.confirmed, device.name = True, _free_name(user)
        device.save(update_fields=["confirmed", "name"])
        note_added(device, actor=actor)

    return _attempt(user, code, partial(_match_pending, pending), accept)


def note_added(device: Device, *, actor: audit.Actor) -> None:
    """To be called once for each new factor, in the transaction that confirms it."""
    end_sessions(device.user)
    _record(actor, "second_factor.added", device.user, {"name": device.name, "kind": kind_of(device)})
    mail.tell(
        device.user,
        _("A second factor was added"),
        _("Your account has another second factor, {kind}: {name}."),
        kind=KIND_WORDS[kind_of(device)],
        name=device.name,
    )


def remove(device: Device, *, actor: audit.Actor) -> None:
    """The factor counts no more; with the last one go the recovery codes. Other sessions end."""
    user = device.user
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        _record(actor, "second_factor.removed", user, {"name": device.name, "kind": kind_of(device)})
        mail.tell(
            user,
            _("A second factor was removed"),
            _("This second factor counts no more, {kind}: {name}."),
            kind=KIND_WORDS[kind_of(device)],
            name=device.name,
        )
        device.delete()
        if not enrolled(user):
            RecoverySet.objects.filter(user=user).delete()
        end_sessions(user)


def reset(user: User, *, actor: audit.Actor) -> None:
    """Take all factors away, for somebody who has lost them and the codes. They enrol anew at the next sign-in."""
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        for device in devices_for_user(user, confirmed=None):
            device.delete()
        User.objects.filter(pk=user.pk).update(failed_codes=0, last_failed_code_at=None)
        _record(actor, "second_factor.reset", user, None)
        mail.tell(user, _("Your second factor was reset"), _("You set up a new one when you next sign in."))
        end_sessions(user)


KIND_WORDS = {
    "authenticator app": _("authenticator app"),
    "recovery codes": _("recovery codes"),
    "passkey": _("passkey"),
}


def kind_of(device: Device) -> str:
    """What sort of factor it is, as the trail names it; pages and letters have ``KIND_WORDS`` for it."""
    if isinstance(device, Authenticator):
        return "authenticator app"
    return "recovery codes" if isinstance(device, RecoverySet) else "passkey"


def handle(device: Device) -> str:
    """A factor's name in an address."""
    return f"{type(device).__name__.lower()}-{device.pk}"


def new_recovery_codes(user: User, *, actor: audit.Actor) -> list[str]:
    """A new set, which is shown once; the one before is void."""
    codes = [f"{label}-{_group(_random(SECRET_CHARACTERS))}" for label in _labels()]
    hashed = [(code[:2], make_password(_secret_part(code))) for code in codes]
    with transaction.atomic():
        User.objects.select_for_update(no_key=True).get(pk=user.pk)
        RecoverySet.objects.filter(user=user).delete()
        made = RecoverySet.objects.create(user=user, name="Recovery codes")
        RecoveryCode.objects.bulk_create(
            RecoveryCode(recovery_set=made, label=label, code_hash=code_hash) for label, code_hash in hashed
        )
        _record(actor, "recovery_codes.issued", user, {"count": len(codes)})
        mail.tell(
            user,
            _("New recovery codes were made"),
            _("Your account has {count} new recovery codes. Those from before count no more."),
            count=len(codes),
        )
    return codes


def recovery_codes_left(user: User) -> int:
    """How many codes of the set are unused."""
    return RecoveryCode.objects.filter(recovery_set__user=user, used_at=None).count()


def check(user: User, code: str, *, actor: audit.Actor) -> Device:
    """The factor whose code this is: six digits of an app, or a recovery code, which is used up by it.

    Raises ``WrongCode``, and ``TooManyCodes`` without looking at the code.
    """

    def accept(device: Device) -> None:
        if isinstance(device, RecoverySet):
            left = recovery_codes_left(user)
            _record(actor, "recovery_codes.used", user, {"left": left})
            mail.tell(
                user,
                _("A recovery code was used"),
                _("Your account was opened with a recovery code. {left} are left."),
                left=left,
            )

    return _attempt(user, code, _match, accept)


def _attempt(user: User, code: str, match: Callable[[User, str], _D | None], accept: Callable[[_D], None]) -> _D:
    """The factor that ``match`` finds, used up with what ``accept`` writes down of it, or neither."""
    plain = code.strip().lower().replace(" ", "").replace("-", "")
    with transaction.atomic():
        person = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        now = timezone.now()
        seconds = _seconds_to_wait(person, now)
        if seconds > 0:
            raise TooManyCodes(seconds)
        device = match(person, plain)
        person.failed_codes = 0 if device is not None else person.failed_codes + 1
        person.last_failed_code_at = None if device is not None else now
        person.save(update_fields=["failed_codes", "last_failed_code_at"])
        if device is not None:
            accept(device)
    if device is None:  # Out here, so that the failure is counted for good.
        raise WrongCode
    return device


def _seconds_to_wait(person: User, now: datetime) -> int:
    """Five failures are free; then half a minute, doubled with each further one up to a quarter of an hour."""
    over = person.failed_codes - FREE_FAILURES
    if over < 0 or person.last_failed_code_at is None:
        return 0
    delay = min(FIRST_DELAY_SECONDS * 2 ** min(over, 10), DELAY_MAX_SECONDS)
    left = person.last_failed_code_at + timedelta(seconds=delay) - now
    return max(0, -(-left // timedelta(seconds=1)))


def _match(person: User, plain: str) -> Device | None:
    if len(plain) == DIGITS and plain.isascii() and plain.isdigit():
        devices = Authenticator.objects.filter(user=person, confirmed=True)
        return next((device for device in devices if _shows(device, plain)), None)
    return _match_recovery(person, plain)


def _match_pending(pending: int | None, person: User, plain: str) -> Authenticator | None:
    device: Authenticator | None = Authenticator.objects.filter(user=person, confirmed=False, pk=pending).first()
    digits = len(plain) == DIGITS and plain.isascii() and plain.isdigit()
    return device if device is not None and digits and _shows(device, plain) else None


def _shows(device: Authenticator, digits: str) -> bool:
    """Whether the app shows these digits now, or half a minute ago or ahead, and they were not accepted before."""
    if device.confirmed and demo.accepts(device.user.email, digits):
        return True
    totp = TOTP(base64.b32decode(device.secret), step=STEP_SECONDS, digits=DIGITS)
    totp.time = time.time()
    if not totp.verify(int(digits), tolerance=1, min_t=device.last_step + 1):
        return False
    device.last_step, device.last_used_at = totp.t(), timezone.now()
    device.save(update_fields=["last_step", "last_used_at"])
    return True


def _match_recovery(person: User, plain: str) -> Device | None:
    code = RecoveryCode.objects.filter(
        recovery_set__user=person, label=plain[:2].replace("\x00", ""), used_at=None
    ).first()
    if code is None or not check_password(_secret_part(plain), code.code_hash):
        return None
    code.used_at = timezone.now()
    code.save(update_fields=["used_at"])
    return code.recovery_set


def _secret_part(code: str) -> str:
    return code.replace("-", "")[2:]


def _labels() -> list[str]:
    return [f"{ALPHABET[number]}{secrets.choice(ALPHABET)}" for number in range(RECOVERY_CODES)]


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _group(text: str) -> str:
    return "-".join(text[start : start + 4] for start in range(0, len(text), 4))


def _free_name(user: User) -> str:
    taken = set(Authenticator.objects.filter(user=user).values_list("name", flat=True))
    names = ["Authenticator app", *(f"Authenticator app {number}" for number in range(2, 100))]
    return next(name for name in names if name not in taken)


def end_sessions(user: User) -> None:
    """All of the person's, what their devices are trusted for, and factors that were not set up to the end.

    See ``second_factor.own_step``.
    """
    Authenticator.objects.filter(user=user, confirmed=False).delete()
    User.objects.filter(pk=user.pk).update(security_epoch=F("security_epoch") + 1)
    user.refresh_from_db(fields=["security_epoch"])


def _record(actor: audit.Actor, action: str, user: User, after: dict[str, Any] | None) -> None:
    audit.record(actor=actor, action=action, object_type="user", object_id=str(user.pk), after=after)
