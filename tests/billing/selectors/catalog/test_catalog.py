"""Plan versions are compiled once: a published one never changes."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.utils import timezone

from billing.selectors.catalog.catalog import compiled_plan
from tests.builders import LLM, Shop


def test_a_compiled_plan_holds_its_meters_by_event_type(shop: Shop) -> None:
    version = shop.plan(
        "p",
        [
            shop.price(shop.meter("tokens", "tokens"), "1"),
            shop.price(shop.meter("images", event_type="image"), "2"),
        ],
    )

    compiled = compiled_plan(version.pk)

    assert (compiled.plan, compiled.number, compiled.interval) == ("p", 1, "month")
    assert {type_: [m.rule.code for m in meters] for type_, meters in compiled.meters.items()} == {
        LLM: ["tokens"],
        "image": ["images"],
    }


def test_the_most_specific_price_is_asked_first(shop: Shop) -> None:
    tokens = shop.meter("tokens", "tokens")
    version = shop.plan(
        "p",
        [
            shop.price(tokens, "1"),
            shop.price(tokens, "3", model=["a"], user=["u"]),
            shop.price(tokens, "2", model=["a"]),
        ],
    )
    (meter,) = compiled_plan(version.pk).meters[LLM]

    def costs(**groups: str) -> Any:
        return [price.function.total(Decimal(1)) for price in meter.prices_for(groups, timezone.now())]

    assert [costs(), costs(model="b"), costs(model="a"), costs(model="a", user="u")] == [[1], [1], [2], [3]]


def test_a_plan_is_read_from_the_database_once(shop: Shop, django_assert_num_queries: Callable[[int], Any]) -> None:
    version = shop.plan()
    compiled_plan(version.pk)

    with django_assert_num_queries(0):
        compiled_plan(version.pk)
