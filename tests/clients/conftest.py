"""The client against stand-ins for the product, which costs no database, and for the models."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ante_client import Ante, Retry
from ante_client.models import Models, serve
from tests.clients.standin import OPERATOR_KEY, Billing
from tests.clients.standin import billing as standing_in

QUICK = Retry(attempts=4, first=0.001, longest=0.01)


@pytest.fixture
def billing() -> Iterator[Billing]:
    with standing_in() as found:
        yield found


@pytest.fixture
def models() -> Iterator[Models]:
    """A stand-in for the models."""
    found = serve()
    yield found
    found.behaviour.go.set()
    found.close()


@pytest.fixture
def ante(billing: Billing) -> Iterator[Ante]:
    """A client without a spool."""
    with Ante(billing.address, OPERATOR_KEY, retry=QUICK) as client:
        yield client


@pytest.fixture
def spooling(billing: Billing, tmp_path: Path) -> Iterator[Ante]:
    """A client with a spool."""
    with Ante(billing.address, OPERATOR_KEY, retry=QUICK, spool=tmp_path / "spool") as client:
        yield client
