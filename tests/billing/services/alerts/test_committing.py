"""Alerts on the use of a commitment: each share once in a period, armed again by the next one."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.services.audit import SYSTEM
from billing.errors import InvalidRequest
from billing.models import Alert, CommitmentTold, Customer, Notice, OutboxEvent, SubscriptionPeriod, UsageEvent
from billing.services import alerts, subscriptions
from billing.services.subscriptions import settling
from billing.services.usage import rollups
from billing.services.wallet import corrections
from tests.billing.services.alerts.test_watching import DOLLAR, told
from tests.billing.services.ledger.test_races import together
from tests.builders import Shop


@pytest.fixture
def acme(shop: Shop) -> Customer:
    """On ``pro``, of which each month must come to $100."""
    shop.plan("pro", minimum_commitment=Decimal(100))
    acme = shop.customer(usd="500")
    shop.alert(acme, "1", "0.5", "0.8", kind="commitment_used", of="commitment")
    return acme


def use(shop: Shop, acme: Customer, *dollars: int) -> None:
    for each in dollars:
        assert shop.record(acme, input_tokens=each * DOLLAR).status == "charged"
        alerts.watch_commitments()


def test_each_share_is_told_once_with_what_is_missing(shop: Shop, acme: Customer) -> None:
    use(shop, acme, 49)
    assert told() == []
    use(shop, acme, 1, 1, 30, 18, 5, 5)

    assert told() == [("commitment.threshold_reached", share) for share in ("0.5", "0.8", "1")]
    first, _, last = Notice.objects.order_by("pk")
    assert first.title == "Commitment of Pro: 50 % used"
    assert first.text.startswith("$50.00 of $100.00 are used. What of the rest, $50.00, is not used until ")
    assert last.text == "$104.00 of $100.00 are used. Nothing is missing to it any more."
    facts = OutboxEvent.objects.filter(type="commitment.threshold_reached").earliest("pk").payload
    assert (facts["plan"], facts["used"], facts["committed"], facts["missing"]) == ("pro", "50", "100", "50")
    assert Alert.objects.get().level == 3


def test_the_next_period_is_told_and_arms_it_again(shop: Shop, acme: Customer) -> None:
    use(shop, acme, 60)
    before = SubscriptionPeriod.objects.order_by("-number")[1]
    CommitmentTold.objects.update(period=before)
    assert [alerts.watch_commitments(), alerts.watch_commitments()] == [2, 0]

    assert told() == [
        *[("commitment.threshold_reached", "0.5"), ("commitment.reset", None)],
        ("commitment.threshold_reached", "0.5"),
    ]


def test_a_share_is_not_told_again_where_usage_was_taken_back_meanwhile(shop: Shop, acme: Customer) -> None:
    use(shop, acme, 60)
    event = UsageEvent.objects.get()
    corrections.reverse(actor=SYSTEM, event=event, reason="It failed")
    assert alerts.watch_commitments() == 0

    use(shop, acme, 60)

    assert told() == [("commitment.threshold_reached", "0.5")]


def test_usage_of_the_last_period_does_not_count_for_this_one(shop: Shop, acme: Customer) -> None:
    use(shop, acme, 30)
    shop.record(acme, input_tokens=DOLLAR, time=timezone.now() - timedelta(days=40))

    (now,) = subscriptions.commitments_now(acme.pk, timezone.now())

    assert (now.used, now.committed, now.missing) == (30, 100, 70)


def test_it_is_what_the_period_will_be_settled_by_before_and_after_the_hours_are_summed(
    committed_db: None, shop: Shop, acme: Customer
) -> None:
    """Also beside another subscription, whose usage is none of this one's."""
    shop.record(acme, id="wrong", input_tokens=7 * DOLLAR)
    shop.record(acme, input_tokens=20 * DOLLAR)
    corrections.reverse(actor=SYSTEM, event=UsageEvent.objects.get(event_id="wrong"), reason="It failed")
    assert rollups.roll_up() > 0
    shop.record(acme, input_tokens=3 * DOLLAR)
    assert used(acme) == [23]

    shop.plan("image", [shop.price(shop.meter("images", event_type="image"), "5")])
    shop.subscribe(acme, "image")
    shop.record(acme, type="image")

    assert used(acme) == [23]
    assert rollups.roll_up() > 0
    assert used(acme) == [23]


def used(acme: Customer) -> list[Decimal]:
    """As it is shown, which is as it would be settled."""
    shown = subscriptions.commitments_now(acme.pk, timezone.now())
    settled = [settling.usage(each.period.subscription, each.period, until=timezone.now()) for each in shown]
    assert [each.used for each in shown] == settled
    return settled


def test_a_customer_without_a_commitment_is_told_nothing(shop: Shop) -> None:
    acme = shop.customer(usd="10")
    shop.alert(acme, "0.5", kind="commitment_used", of="commitment")
    use(shop, acme, 5)

    assert told() == []


def test_many_watchers_tell_once(committed_db: None, shop: Shop, acme: Customer) -> None:
    shop.record(acme, input_tokens=60 * DOLLAR)

    together(*[alerts.watch_commitments] * 6)

    assert told() == [("commitment.threshold_reached", "0.5")]


@pytest.mark.parametrize(("at", "of"), [("10.5", "commitment"), ("0.12345", "commitment"), ("5", "amount")])
def test_what_makes_no_sense_is_refused(shop: Shop, at: str, of: str) -> None:
    with pytest.raises(InvalidRequest):
        shop.alert(shop.customer(), at, kind="commitment_used", of=of)
