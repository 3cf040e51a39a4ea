"""One thing after the other: the trouble of one is not the others'."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from billing.errors import WalletBusy
from billing.models import Grant
from billing.services import one_by_one
from billing.services.wallet import grants
from tests.billing.services.conftest import Clock
from tests.builders import Shop


@pytest.mark.parametrize(("trouble", "is_logged"), [(WalletBusy("Later."), False), (KeyError("broken"), True)])
def test_what_goes_wrong_is_logged_and_goes_no_further(
    trouble: Exception, is_logged: bool, caplog: pytest.LogCaptureFixture
):
    with one_by_one.apart("budget", 7):
        raise trouble

    assert ("The budget 7 waits" in caplog.text) is is_logged


def test_the_grants_of_one_customer_do_not_keep_those_of_another(
    shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    customers = [shop.customer(name) for name in ("first", "second")]
    for customer in customers:
        shop.fund(customer, "5", kind="promotional", expires_at=clock.now() + timedelta(hours=1))
    clock.forward(hours=2)
    broken, settle = min(customers, key=lambda customer: customer.pk), grants._settle_due_of
    monkeypatch.setattr(grants, "_settle_due_of", _failing(settle, broken.pk))

    assert grants.settle_due() == 1
    assert f"The expiry of customer {broken.pk} waits" in caplog.text
    assert {grant.customer_id: bool(grant.remaining) for grant in Grant.objects.all()} == {
        customer.pk: customer == broken for customer in customers
    }


def _failing(step: Callable[[Any], int], broken: Any) -> Callable[[Any], int]:
    def stepped(customer_id: Any) -> int:
        if customer_id == broken:
            raise KeyError("broken")
        return step(customer_id)

    return stepped
