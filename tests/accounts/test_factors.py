"""Codes: accepted once, few guesses, recovery codes that are nowhere in clear."""

import base64
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.utils import timezone
from django_otp.oath import TOTP

from accounts import demo
from accounts.models import AuditEvent, Authenticator, OutgoingMail, RecoveryCode, User
from accounts.services import audit, factors, mail
from accounts.services.audit import SYSTEM

pytestmark = pytest.mark.usefixtures("quick_passwords")


@pytest.fixture
def user(request: pytest.FixtureRequest) -> User:
    request.getfixturevalue("committed_db" if "committed_db" in request.fixturenames else "db")
    return User.objects.create_user("one@acme.test", "correct horse battery")


def shown(device: Authenticator, steps: int = 0) -> str:
    """What the app shows, ``steps`` half minutes from now."""
    totp = TOTP(base64.b32decode(device.secret))
    totp.time = time.time() + 30 * steps
    return f"{totp.token():06d}"


def enrol(user: User) -> Authenticator:
    return factors.begin(user, confirmed=True)


def outcome(user: User, code: str) -> str:
    try:
        return factors.kind_of(factors.check(user, code, actor=SYSTEM))
    except factors.WrongCode:
        return "wrong"
    except factors.TooManyCodes:
        return "too many"


def test_a_factor_counts_once_its_first_code_was_right(user: User) -> None:
    device = factors.begin(user)
    assert not factors.enrolled(user)
    assert factors.begin(user, pending=device.pk).secret == device.secret
    assert outcome(user, shown(device)) == "wrong"
    with pytest.raises(factors.WrongCode):
        factors.confirm(user, "12345", pending=device.pk, actor=SYSTEM)

    factors.confirm(user, shown(device), pending=device.pk, actor=SYSTEM)

    assert factors.enrolled(user)
    assert AuditEvent.objects.get(action="second_factor.added").after["kind"] == "authenticator app"


def test_a_code_is_good_once_and_earlier_ones_never_after(user: User) -> None:
    device = enrol(user)

    assert outcome(user, f" {shown(device)[:3]} {shown(device)[3:]} ") == "authenticator app"
    assert outcome(user, shown(device)) == "wrong"
    assert outcome(user, shown(device, -1)) == "wrong"
    assert outcome(user, shown(device, 1)) == "authenticator app"


@pytest.mark.parametrize("steps", [-4, -2, 3, 100])
def test_a_code_of_another_time_is_wrong(user: User, steps: int) -> None:
    assert outcome(user, shown(enrol(user), steps)) == "wrong"


@pytest.mark.parametrize("code", ["", "x", "12345", "1234567", "١٢٣٤٥٦", "-12345", "0x1234", "\x00" * 6, "a" * 40])
def test_what_is_no_code_is_wrong(user: User, code: str) -> None:
    enrol(user)
    assert outcome(user, code) == "wrong"


def test_another_persons_code_is_wrong(user: User) -> None:
    enrol(user)
    other = enrol(User.objects.create_user("other@acme.test"))
    assert outcome(user, shown(other)) == "wrong"


def race(user: User, code: str, check: Callable[[User, str], str]) -> list[str]:
    together = threading.Barrier(20)

    def submit(_: int) -> str:
        together.wait(30)
        try:
            return check(user, code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        return list(pool.map(submit, range(20)))


@pytest.mark.parametrize("kind", ["authenticator app", "recovery codes"])
def test_of_twenty_submissions_at_once_one_is_accepted(committed_db: None, user: User, kind: str) -> None:
    device = enrol(user)
    codes = factors.new_recovery_codes(user, actor=SYSTEM)

    outcomes = race(user, shown(device) if kind == "authenticator app" else codes[3], outcome)

    assert outcomes.count(kind) == 1
    assert set(outcomes) <= {kind, "wrong", "too many"}


def test_without_the_lock_more_than_one_would_be(committed_db: None, user: User) -> None:
    """The control: the same race, looking without the person's lock."""
    device = enrol(user)
    looked = threading.Barrier(20)

    def unlocked(person: User, code: str) -> str:
        found = Authenticator.objects.get(user=person)
        totp = TOTP(base64.b32decode(found.secret))
        right = totp.verify(int(code), tolerance=1, min_t=found.last_step + 1)
        looked.wait(30)
        Authenticator.objects.filter(pk=found.pk).update(last_step=totp.t())
        return "accepted" if right else "wrong"

    assert race(user, shown(device), unlocked).count("accepted") > 1


def test_of_a_hundred_guesses_ten_at_most_are_looked_at(user: User) -> None:
    device = enrol(user)

    outcomes = [outcome(user, f"{guess:06d}") for guess in range(100)]

    assert outcomes.count("wrong") == factors.FREE_FAILURES
    assert outcome(user, shown(device)) == "too many"


def test_the_delay_grows_to_a_quarter_of_an_hour_and_ends(user: User) -> None:
    device = enrol(user)
    waits = []
    for _ in range(13):
        assert outcome(user, "123456") in {"wrong", "too many"}
        user.refresh_from_db()
        waits.append(factors._seconds_to_wait(user, timezone.now()))
        past = timezone.now() - timedelta(seconds=factors.DELAY_MAX_SECONDS)
        User.objects.filter(pk=user.pk).update(last_failed_code_at=past)

    assert waits[:4] == [0] * 4
    assert waits[4] == pytest.approx(30, abs=5)
    assert waits[5] == pytest.approx(60, abs=5)
    assert max(waits) <= factors.DELAY_MAX_SECONDS
    assert outcome(user, shown(device)) == "authenticator app"
    user.refresh_from_db()
    assert user.failed_codes == 0


def test_anothers_success_forgives_nothing(user: User) -> None:
    enrol(user)
    other = User.objects.create_user("other@acme.test")
    device = enrol(other)
    for _ in range(5):
        outcome(user, "123456")

    assert outcome(other, shown(device)) == "authenticator app"
    assert outcome(user, "123456") == "too many"


def test_recovery_codes_work_once_and_are_nowhere_in_clear(user: User) -> None:
    enrol(user)
    codes = factors.new_recovery_codes(user, actor=SYSTEM)
    with connection.cursor() as cursor:
        cursor.execute("SELECT string_agg(c::text, ' ') FROM accounts_recoverycode c")
        dump = cursor.fetchone()[0]
        cursor.execute("SELECT string_agg(a::text, ' ') FROM accounts_auditevent a")
        dump += cursor.fetchone()[0]

    assert len(set(codes)) == factors.RECOVERY_CODES >= 10
    for code in codes:
        secret = code.partition("-")[2]
        assert len(factors.ALPHABET) ** len(secret.replace("-", "")) > 2**64
        assert secret not in dump
        assert secret.replace("-", "") not in dump
    assert outcome(user, codes[0].upper().replace("-", " ")) == "recovery codes"
    assert outcome(user, codes[0]) == "wrong"
    assert factors.recovery_codes_left(user) == 9
    assert AuditEvent.objects.get(action="recovery_codes.used").after == {"left": 9}


def letters(user: User) -> list[tuple[str, str]]:
    """Subject and first line of each letter to the person, the oldest first."""
    sent = OutgoingMail.objects.filter(recipient=user.email).order_by("id")
    return [(letter.subject, letter.text.partition("\n")[0]) for letter in sent]


def test_recovery_codes_are_told_of_when_they_are_made_and_used(user: User) -> None:
    enrol(user)
    codes = factors.new_recovery_codes(user, actor=SYSTEM)
    made = ("New recovery codes were made", "Your account has 10 new recovery codes. Those from before count no more.")
    assert letters(user) == [made]
    assert outcome(user, "zz-wrong") == "wrong"
    assert letters(user) == [made]

    assert outcome(user, codes[0]) == "recovery codes"

    used = ("A recovery code was used", "Your account was opened with a recovery code. 9 are left.")
    assert letters(user) == [made, used]
    User.objects.filter(pk=user.pk).update(language="de")
    user.refresh_from_db()
    factors.new_recovery_codes(user, actor=SYSTEM)
    assert letters(user)[-1][0] == "Neue Wiederherstellungscodes wurden erstellt"


@pytest.mark.parametrize("what", [(audit, "record"), (mail, "tell")], ids=["the line", "the letter"])
def test_a_factor_is_not_used_or_added_where_it_cannot_be_written_down(
    user: User, monkeypatch: pytest.MonkeyPatch, what: tuple[Any, str]
) -> None:
    device, code = factors.begin(user), factors.new_recovery_codes(user, actor=SYSTEM)[0]
    lines, sent = AuditEvent.objects.count(), letters(user)
    assert outcome(user, "zz-wrong") == "wrong"

    def gone(*_: object, **__: object) -> None:
        raise OperationalError("gone")

    with monkeypatch.context() as broken:
        broken.setattr(*what, gone)
        with pytest.raises(OperationalError):
            factors.check(user, code, actor=SYSTEM)
        with pytest.raises(OperationalError):
            factors.confirm(user, shown(device), pending=device.pk, actor=SYSTEM)

    assert (AuditEvent.objects.count(), letters(user)) == (lines, sent)
    assert (factors.recovery_codes_left(user), factors.enrolled(user)) == (10, False)
    user.refresh_from_db()
    assert user.failed_codes == 1
    assert outcome(user, code) == "recovery codes"
    factors.confirm(user, shown(device), pending=device.pk, actor=SYSTEM)


def test_a_new_set_voids_the_old_one(user: User) -> None:
    enrol(user)
    old = factors.new_recovery_codes(user, actor=SYSTEM)
    new = factors.new_recovery_codes(user, actor=SYSTEM)

    assert outcome(user, old[0]) == "wrong"
    assert outcome(user, new[0]) == "recovery codes"


def test_with_the_last_factor_go_the_recovery_codes(user: User) -> None:
    device = enrol(user)
    factors.new_recovery_codes(user, actor=SYSTEM)

    factors.remove(device, actor=SYSTEM)

    assert not factors.enrolled(user)
    assert not RecoveryCode.objects.exists()


def test_factors_change_what_sessions_are_bound_to(user: User) -> None:
    hashes = {user.get_session_auth_hash()}
    device = factors.begin(user)
    for change in (
        lambda: factors.confirm(user, shown(device), pending=device.pk, actor=SYSTEM),
        lambda: factors.reset(user, actor=SYSTEM),
    ):
        change()
        hashes.add(User.objects.get(pk=user.pk).get_session_auth_hash())

    assert len(hashes) == 3


def test_the_demonstrations_code_is_good_only_there_and_only_for_its_people(user: User, settings: Any) -> None:
    enrol(user)
    person = User.objects.create_user("owner@northwind.test")
    enrol(person)
    settings.DEMO = True
    assert outcome(person, demo.DEMO_CODE) == "authenticator app"
    assert outcome(user, demo.DEMO_CODE) == "wrong"
    settings.DEMO = False
    assert outcome(person, demo.DEMO_CODE) == "wrong"
