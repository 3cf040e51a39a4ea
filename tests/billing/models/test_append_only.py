"""What is append-only is guarded by triggers, beside the rights that the application's role does not have."""

from django.db import connection

from billing.database import APPEND_ONLY
from billing.models import Charge, LedgerEntry, LedgerTransaction, OutboxEvent, UsageCounter, UsageEvent
from tests.billing.models.going_around import fill, refused_by
from tests.builders import Shop


def test_what_is_append_only_is_so_even_for_the_owner(owners_shop: Shop) -> None:
    fill(owners_shop)

    for table in APPEND_ONLY:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")
            assert cursor.fetchone()[0] > 0, f"{table} is empty, so a trigger for each row proves nothing"
        for statement in (f"UPDATE {table} SET id = id", f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
            assert refused_by(statement) == "23001", statement
    assert LedgerEntry.objects.count() == 16
    assert (Charge.objects.count(), UsageEvent.objects.count(), UsageCounter.objects.count()) == (5, 3, 1)


def test_the_owner_can_change_what_may_change(owners_shop: Shop) -> None:
    fill(owners_shop)

    assert refused_by("UPDATE billing_balance SET lifetime_spent = lifetime_spent") == "nobody"
    assert OutboxEvent.objects.exists()
    assert LedgerTransaction.objects.exists()
