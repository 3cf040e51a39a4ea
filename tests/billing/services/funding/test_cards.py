"""Card numbers are typed on the provider's pages: none of them ever comes here."""

import pytest
from django.apps import apps
from django.db import connection

from tests.payments import Bank, Payer

NUMBER = "4242424242424242"


def tables_with(text: str) -> set[str]:
    found = set()
    for model in apps.get_models():
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {model._meta.db_table} t WHERE t::text LIKE %s LIMIT 1", [f"%{text}%"])
            if cursor.fetchone():
                found.add(model._meta.db_table)
    return found


def test_no_table_and_no_log_holds_a_card_number(payer: Payer, bank: Bank, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    payer.keep(NUMBER)
    payer.paid()
    bank.deliver()

    assert tables_with(NUMBER) == set()
    assert NUMBER not in caplog.text
    assert "billing_paymentmethod" in tables_with(NUMBER[-4:])


def test_no_model_has_a_column_for_one() -> None:
    suspect = {"card_number", "number_of_card", "pan", "cvc", "cvv", "security_code"}
    named = {field.name for model in apps.get_models() for field in model._meta.concrete_fields}

    assert named & suspect == set()
