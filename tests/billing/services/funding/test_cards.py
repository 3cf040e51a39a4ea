"""Card numbers are typed on the provider's pages: none of them ever comes here."""

import pytest
from django.apps import apps
from django.db import connection

from accounts.models import User
from billing.models import Note
from billing.selectors.customer import privacy
from tests.billing.services.customer.test_privacy import files
from tests.canaries import cards_in
from tests.payments import KEPT_DECLINED, VISA, Bank, Payer


def dump() -> dict[str, str]:
    """All of each table, as text."""
    with connection.cursor() as cursor:
        found = {}
        for model in apps.get_models(include_auto_created=True):
            cursor.execute(f"SELECT coalesce(string_agg(t::text, chr(10)), '') FROM {model._meta.db_table} t")
            (found[model._meta.db_table],) = cursor.fetchone()
        return found


def tables_with_cards() -> dict[str, list[str]]:
    return {table: found for table, text in dump().items() if (found := cards_in(text))}


def test_no_table_no_log_and_no_file_holds_the_number_of_any_card(
    payer: Payer, bank: Bank, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    method = payer.keep(VISA)
    payer.open("30", method=payer.keep(KEPT_DECLINED))
    payer.paid()
    payer.open(method=method)
    bank.deliver()

    taken = files(privacy.of_organization(payer.customer))

    assert {"top-ups.jsonl", "organization.json"} <= taken.keys()
    assert VISA[-4:] in "".join(taken.values())
    assert "4242" in dump()["billing_paymentmethod"]
    assert tables_with_cards() == {}
    assert cards_in(caplog.text) == cards_in("\n".join(taken.values())) == []


def test_any_number_that_was_written_down_would_be_found(payer: Payer) -> None:
    """The control."""
    clerk = User.objects.create_user("clerk@ante.test", is_staff=True)
    Note.objects.create(customer=payer.customer, author=clerk, text="Pays with 5555 5555 5555 4444, says she")

    assert tables_with_cards() == {"billing_note": ["5555 5555 5555 4444"]}


def test_no_model_has_a_column_for_one() -> None:
    suspect = {"card_number", "number_of_card", "pan", "cvc", "cvv", "security_code"}
    named = {field.name for model in apps.get_models() for field in model._meta.concrete_fields}

    assert named & suspect == set()
