"""A plan version is published whole: the database refuses whatever would be added to it later."""

import pytest
from django.db import IntegrityError

from billing.models import Allowance, FairUse, PlanVersion, Price, Tier
from billing.services.catalog import prices
from tests.builders import Shop


@pytest.fixture
def published(committed_db: None, shop: Shop) -> PlanVersion:
    """Committed, as in life: within the transaction that publishes it a version may still grow."""
    return shop.plan()


def test_a_price_is_not_added_to_a_published_version(published: PlanVersion, shop: Shop) -> None:
    with pytest.raises(IntegrityError, match="never added to"):
        prices.add(published, [shop.price(shop.meter("images", "images"), "0")], position=7)
    assert published.prices.count() == 2


def test_nor_is_an_allowance(published: PlanVersion, shop: Shop) -> None:
    with pytest.raises(IntegrityError, match="never added to"):
        Allowance.objects.create(plan_version=published, asset=shop.usd, amount=1)


def test_nor_a_limit(published: PlanVersion, shop: Shop) -> None:
    with pytest.raises(IntegrityError, match="never added to"):
        FairUse.objects.create(plan_version=published, asset=shop.usd, limit=1)


def test_nor_a_tier(published: PlanVersion, shop: Shop) -> None:
    price = Price.objects.filter(plan_version=published).earliest("position")
    with pytest.raises(IntegrityError, match="never added to"):
        Tier.objects.create(price=price, number=1, unit_amount=0)
