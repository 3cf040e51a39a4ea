"""What the tests of money in share."""

from datetime import timedelta

import pytest
from django.utils import timezone

from billing.services.funding import attempts, automatic
from tests.billing.services.funding.orders import Later


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """``later(minutes=1)``: time goes by, and the sweeps come round."""
    real, ahead = timezone.now, [timedelta()]
    monkeypatch.setattr(timezone, "now", lambda: real() + ahead[0])

    def go(**duration: float) -> None:
        ahead[0] += timedelta(**duration)
        attempts.settle_due()
        automatic.run_due()

    return go
