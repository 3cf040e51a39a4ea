"""The seed: a month of books that are right, made once."""

import itertools
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.demo import DEMO_CODE, DEMO_PASSWORD, DEMO_SIGN_INS
from accounts.models import User
from accounts.services import api_keys, factors
from accounts.services.audit import SYSTEM
from billing.demo import customers as samples
from billing.demo import traffic
from billing.management import keyfiles
from billing.models import Balance, Customer, Grant, LedgerEntry, UsageEvent
from billing.selectors import waiting
from billing.selectors.ledger import contents, history
from tests.builders import Shop


@pytest.fixture
def demonstration(settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A demonstration with a tenth of its traffic."""
    settings.DEMO = True
    settings.DATA_DIR = tmp_path
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    whole = traffic.month
    monkeypatch.setattr(
        traffic, "month", lambda sample, **when: itertools.islice(whole(sample, **when), sample.events // 10)
    )
    return tmp_path / "demo-api-key"


def test_it_refuses_where_it_is_no_demonstration(db: None, settings: Any):
    settings.DEMO = False
    with pytest.raises(CommandError, match="not a demonstration"):
        call_command("seed_demo")
    with pytest.raises(CommandError, match="not a demonstration"):
        call_command("demo_traffic")
    assert not Customer.objects.exists()


def test_the_first_run_fills_and_the_second_changes_nothing(
    db: None, demonstration: Path, capsys: pytest.CaptureFixture[str]
):
    call_command("seed_demo")
    said = capsys.readouterr().out
    assert all(person.email in said for person in DEMO_SIGN_INS)
    assert DEMO_PASSWORD in said
    assert set(Customer.objects.values_list("external_id", flat=True)) == {s.external_id for s in samples.CUSTOMERS}
    for person in DEMO_SIGN_INS:
        user = User.objects.get(email=person.email)
        assert user.check_password(DEMO_PASSWORD)
        assert user.is_staff == (person.organization is None)
        assert user.is_superuser == (person.role == "Administrator")
        assert factors.check(user, DEMO_CODE, actor=SYSTEM).user == user
    assert UsageEvent.objects.filter(status="rejected").exists()
    assert not UsageEvent.objects.filter(customer__external_id="blank-slate").exists()
    assert list(contents.differences()) == []
    assert not waiting.unsettled().exists()
    nearly_empty = Balance.objects.get(customer__external_id="sample-clinic")
    assert 1 < nearly_empty.available < 2
    assert Grant.objects.filter(kind="promotional", expires_at__isnull=False, remaining__gt=0).exists()
    lived = [timezone.now() - timedelta(days=days) for days in (20, 10, 1)]
    acme = Customer.objects.get(external_id="acme")
    assert all(left > 0 for left in history.available(acme.pk, "usd", at=lived)), "the wallet has a past"
    assert acme.created_at < lived[0] - timedelta(days=10)
    entries = LedgerEntry.objects.filter(customer=acme, balance__isnull=False).order_by("balance_id", "seq")
    booked = list(entries.values_list("balance_id", "posted_at"))
    assert booked == sorted(booked), "and was booked as time went by"
    secret = demonstration.read_text().strip()
    assert api_keys.authenticate(secret) is not None
    assert stat.S_IMODE(demonstration.stat().st_mode) == 0o600
    of_acme = api_keys.authenticate((demonstration.parent / "demo-customer-key").read_text().strip())
    assert of_acme is not None
    assert of_acme.may("authorizations:write")
    assert of_acme.organization_id == Customer.objects.get(external_id="acme").organization_id

    counts = UsageEvent.objects.count(), Grant.objects.count(), User.objects.count()
    call_command("seed_demo")
    assert capsys.readouterr().out == said
    assert (UsageEvent.objects.count(), Grant.objects.count(), User.objects.count()) == counts
    assert demonstration.read_text().strip() == secret


def test_beside_books_that_were_begun_all_of_it_is_booked_today(db: None, demonstration: Path, shop: Shop):
    begun = timezone.now()
    shop.fund(shop.customer("older", plan=None), "1")
    call_command("seed_demo")
    assert not LedgerEntry.objects.filter(posted_at__lt=begun).exists()
    assert list(contents.differences()) == []


def test_a_key_that_is_lost_or_does_not_work_is_made_anew(db: None, demonstration: Path):
    call_command("seed_demo")
    first = demonstration.read_text().strip()
    demonstration.write_text("sk_test_unknown\n")
    call_command("seed_demo")
    second = demonstration.read_text().strip()
    assert second != first
    assert api_keys.authenticate(second) is not None


def test_a_key_of_before_that_may_not_do_all_of_it_is_made_anew(db: None, demonstration: Path):
    keyfiles.keep(demonstration, name="x", scopes=["wallets:read"])
    first = demonstration.read_text().strip()

    keyfiles.keep(demonstration, name="x", scopes=["wallets:read", "events:read"])

    second = demonstration.read_text().strip()
    assert second != first
    keyfiles.keep(demonstration, name="x", scopes=["wallets:read"])
    assert demonstration.read_text().strip() == second


def test_an_interrupted_seed_leaves_nothing_behind(db: None, demonstration: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("billing.management.commands.seed_demo.Seed._give", fail)
        with pytest.raises(KeyboardInterrupt):
            call_command("seed_demo")
    assert not Customer.objects.exists()
    assert not UsageEvent.objects.exists()
