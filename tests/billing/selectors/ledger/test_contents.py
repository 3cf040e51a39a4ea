"""An event's content is what it was when it came in, or it is found."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from billing.models import UsageEvent
from billing.selectors.ledger import contents
from tests.builders import LLM, Shop
from tests.owner import as_owner

ODD = """{"input_tokens": 1, "a": 1e2, "b": -0.0, "c": 1.50, "d": 0.00000010, "e": 12345678901234567890123, "f": 0e5,
 "g": {"z": [1.0, -1.5E+3], "y": "\u00e9 \u4e16"}, "h": 18446744073709551616, "i": -9223372036854775809, "j": 2E-9}"""


def found() -> list[Any]:
    from django.db import transaction

    with transaction.atomic():
        return [difference.row["event"] for difference in contents.differences()]


def test_however_numbers_and_times_were_written_what_was_stored_gives_the_fingerprint(
    client: Client, shop: Shop
) -> None:
    acme = shop.customer(usd="1")
    key = shop.key()
    head = f'"specversion": "1.0", "source": "s", "type": "{LLM}", "subject": "{acme.external_id}"'
    times = [
        "",
        '"time": "2026-11-20T10:00:00.123456+05:30", ',
        '"time": "2026-11-20t10:00:00z", "outcome": "failed", ',
    ]
    for number, time in enumerate(times):
        body = f'{{"id": "e{number}", {time}{head}, "data": {ODD}}}'
        answer = client.post(
            "/api/v1/events", body, content_type="application/json", headers={"Authorization": f"Bearer {key}"}
        )
        assert answer.status_code == 201, answer.content
    shop.record(acme, id="direct", input_tokens=Decimal("0.5"))

    assert found() == []
    assert contents.count() == 4


@pytest.mark.corrupts_books
@pytest.mark.parametrize(
    "change",
    [
        """data = jsonb_set(data, '{input_tokens}', '2')""",
        """data = data || '{"note": "not there before"}'""",
        "type = 'llm.other'",
        "occurred_at = occurred_at - interval '1 hour'",
        """extensions = '{"outcome": "failed"}'""",
    ],
)
def test_whatever_is_changed_of_it_is_found(committed_db: None, shop: Shop, change: str) -> None:
    acme = shop.customer(usd="1")
    for number in range(3):
        shop.record(acme, id=f"e{number}", input_tokens=1)
    second = UsageEvent.objects.get(event_id="e1")
    assert found() == []

    as_owner(f"UPDATE billing_usageevent SET {change} WHERE id = %s", second.pk)

    assert found() == [second.pk]
