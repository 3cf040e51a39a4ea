"""Books that are right give no false alarm."""

from datetime import timedelta

from django.utils import timezone

from billing.selectors.ledger import books
from billing.services.wallet import grants
from tests.builders import Shop


def test_empty_books_are_right(db: None) -> None:
    assert list(books.differences()) == []


def test_a_customer_without_any_entry_is_right(shop: Shop) -> None:
    shop.customer()

    assert list(books.differences()) == []


def test_a_lapsed_grant_that_no_worker_has_seen_is_no_difference(shop: Shop) -> None:
    acme = shop.customer(usd="1")
    shop.fund(
        acme,
        "1",
        effective_at=timezone.now() + timedelta(milliseconds=1),
        expires_at=timezone.now() + timedelta(hours=1),
    )

    assert list(books.differences()) == []
    grants.settle_due()
    assert list(books.differences()) == []
