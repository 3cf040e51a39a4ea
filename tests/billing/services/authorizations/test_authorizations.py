"""Authorise, then capture: what is set aside, what is charged, what is given back. To the last digit."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing.errors import EventConflict, InsufficientFunds, InvalidRequest, InvalidState, NotFound, UnpricedUsage
from billing.models import Authorization, Balance, Charge, Hold, LedgerEntry, LedgerTransaction, UsageEvent
from billing.services import authorizations
from billing.services.authorizations import LIFE_MAX
from billing.services.ledger import holds
from tests.billing.services.conftest import Clock
from tests.billing.services.play import RUN, Play
from tests.builders import Shop

# --- The run of a normal day ------------------------------------------------------------------------------------------


def test_a_run_that_costs_less_than_was_authorized(play: Play) -> None:
    play("""
        grant     card 10
        authorize run 4
        balance               -> 6 available, 4 held, 0 owed
        authorize other 7     -> insufficient_funds, 6 available, 7 required
        capture   run 1.5     -> 1.5 captured, 4 amount, 0 still_held
        balance               -> 8.5 available, 0 held, 0 owed
        grant     card        -> 8.5 remaining, 0 held, 1.5 drawn
        capture   run 1       -> invalid_state
        void      run         -> invalid_state
        status    run         -> captured
    """)


def test_a_run_by_usage_sets_aside_what_its_data_would_cost(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=3 talk=1.25
        balance                          -> 5.75 available, 4.25 held
        capture   run work=2.5 talk=0.25 -> charged, 2.75 captured
        balance                          -> 7.25 available, 0 held
    """)
    event = UsageEvent.objects.get()
    assert (event.status, event.balance_after) == ("charged", {"usd": "7.25"})
    assert sorted(Charge.objects.values_list("meter__code", "amount")) == [
        ("talk", Decimal("0.25")),
        ("work", Decimal("2.5")),
    ]


@pytest.mark.parametrize(("used", "available"), [("3.999999999999", "6.000000000001"), ("4", "6"), ("7", "3")])
def test_below_at_and_above_what_was_set_aside(play: Play, used: str, available: str) -> None:
    play(f"""
        grant     card 10
        authorize run work=4
        capture   run work={used} -> charged, {used} captured, 4 amount, 0 still_held
        balance                   -> {available} available, 0 held, 0 owed
    """)


@pytest.mark.parametrize("by", ["8", "work=8"])
def test_more_than_was_set_aside_and_is_free_changes_nothing(play: Play, by: str) -> None:
    play(f"""
        grant     card 7
        authorize run work=4
        capture   run {by}    -> insufficient_funds, 7 available, 8 required
        status    run         -> open, 0 captured, 4 still_held
        balance               -> 3 available, 4 held
        capture   run 7       -> 7 captured
        balance               -> 0 available, 0 held
    """)
    assert UsageEvent.objects.filter(status="rejected").count() == 0


def test_the_free_balance_is_not_the_only_authorizations(play: Play) -> None:
    """What one has set aside another cannot take, not even above its own hold."""
    play("""
        grant     card 10
        authorize one work=4
        authorize two work=4
        capture   one work=7  -> insufficient_funds, 6 available, 7 required
        use       work=3      -> insufficient_funds
        capture   one work=6  -> charged
        capture   two work=4  -> charged
        balance               -> 0 available, 0 held
    """)


def test_a_stream_is_captured_part_by_part(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=6
        capture   run work=1 more    -> charged, 1 captured, 5 still_held
        capture   run 2 more         -> 3 captured, 3 still_held
        status    run                -> open
        balance                      -> 4 available, 3 held
        capture   run work=0.5 more  -> charged, 3.5 captured, 2.5 still_held
        capture   run work=0.5       -> charged, 4 captured, 0 still_held
        status    run                -> captured
        balance                      -> 6 available, 0 held
    """)
    assert [t.reference.rpartition(":")[2] for t in LedgerTransaction.objects.filter(template__endswith="captured")]


def test_parts_beyond_the_hold_come_from_the_free_balance(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=2
        capture   run work=5 more  -> charged, 5 captured, 0 still_held
        balance                    -> 5 available, 0 held
        capture   run work=4 more  -> charged, 9 captured
        capture   run work=2 more  -> insufficient_funds
        capture   run work=1       -> charged, 10 captured
        balance                    -> 0 available, 0 held
    """)


@pytest.mark.parametrize("by", ["", "work="])
def test_a_frozen_wallet_pays_what_was_set_aside_and_no_more(play: Play, by: str) -> None:
    play(f"""
        grant     card 10
        authorize run work=2
        authorize other work=1
        freeze
        capture   run {by}0.5 more -> 0.5 captured, 1.5 still_held
        capture   run {by}5 more   -> 2 captured, 0 still_held
        capture   run {by}1        -> wallet_frozen
        balance                    -> 7 available, 1 held
        capture   other {by}4      -> 1 captured
        balance                    -> 7 available, 0 held, 0 owed
    """)


def test_what_a_frozen_wallet_left_out_is_said(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=2
        authorize other 2
        freeze
    """)
    run, other = (Authorization.objects.get(pk=play.opened[name].authorization.pk) for name in ("run", "other"))
    event = play.shop.event(play.customer, id="e", type=RUN, data={"work": Decimal(5)})
    by_event = authorizations.capture_usage(authorization=run, event=event)
    assert by_event.outcome is not None
    assert by_event.outcome.cost == {"usd": 2}
    by_amount = authorizations.capture_amount(authorization=other, amount=Decimal(5))
    for refused in (by_event.outcome.refused, by_amount.refused):
        assert refused is not None
        assert (refused["code"], refused["refused"]) == ("wallet_frozen", {"usd": "3"})


def test_a_frozen_wallet_keeps_nothing_as_unpaid(play: Play) -> None:
    play("""
        grant     card 4
        policy    overdraft
        authorize run work=2
        freeze
        capture   run work=9 more -> insufficient_funds
        capture   run work=9      -> insufficient_funds
        capture   run work=3      -> charged, 2 captured
        balance                   -> 2 available, 0 held
    """)


def test_a_capture_of_nothing_gives_everything_back(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=2
        capture   run work=0  -> charged, 0 captured
        balance               -> 10 available, 0 held
    """)


def test_an_authorization_of_nothing_is_fine(play: Play) -> None:
    play("""
        grant     card 1
        authorize run work=0
        balance               -> 1 available, 0 held
        capture   run work=1  -> charged
        balance               -> 0 available, 0 held
    """)


def test_a_void_gives_everything_back(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=4
        void      run         -> 0 captured, 0 still_held
        status    run         -> voided
        balance               -> 10 available, 0 held
        capture   run work=1  -> invalid_state
        void      run         -> invalid_state
    """)
    assert UsageEvent.objects.count() == Charge.objects.count() == 0


def test_a_void_after_a_part_gives_the_rest_back(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=4
        capture   run work=1 more -> charged
        void      run             -> 1 captured, 0 still_held
        balance                   -> 9 available, 0 held
    """)


def test_the_reason_of_a_void_is_kept(play: Play) -> None:
    play("grant card 1\nauthorize run 1")

    voided = authorizations.void(authorization=play.opened["run"].authorization, reason="The user left.")

    assert (voided.status, voided.reason) == ("voided", "The user left.")
    assert voided.closed_at == play.clock.now()


# --- Time -------------------------------------------------------------------------------------------------------------


def test_what_is_not_captured_in_time_is_given_back_by_the_sweep(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=4 life=60
        authorize later work=1 life=61
        later     59
        sweep                  -> 0 authorizations
        later     1
        sweep                  -> 1 authorizations
        sweep                  -> 0 authorizations
        status    run          -> expired, 0 captured, 0 still_held
        status    later        -> open
        balance                -> 9 available, 1 held
        capture   run 1        -> invalid_state
        void      run          -> invalid_state
        status    run          -> expired
    """)


@pytest.mark.parametrize("act", ["capture run 1", "capture run 1 more", "void run"])
def test_whoever_comes_too_late_finds_it_expired_and_the_hold_given_back(play: Play, act: str) -> None:
    """The worker need not have come by."""
    play(f"""
        grant     card 10
        authorize run work=4 life=60
        later     60
        {act}                  -> invalid_state
        status    run          -> expired, 0 captured, 0 still_held
        balance                -> 10 available, 0 held
        sweep                  -> 0 authorizations
    """)
    assert UsageEvent.objects.count() == 0


@pytest.mark.parametrize("swept", ["sweep", ""])
@pytest.mark.parametrize("more", ["more", ""])
def test_usage_that_comes_too_late_is_charged_by_itself(play: Play, swept: str, more: str) -> None:
    """The work was done. What was set aside has gone back, so that it needs funds of its own."""
    play(f"""
        grant     card 10
        authorize run work=4 life=60
        later     60
        {swept}
        capture   run work=3 id=e1 {more}  -> charged, 0 captured, 0 still_held
        status    run                      -> expired
        balance                            -> 7 available, 0 held
        capture   run work=3 id=e1 {more}  -> replayed
        use       work=3 id=e1             -> replayed
        balance                            -> 7 available, 0 held
    """)


@pytest.mark.parametrize("swept", ["sweep", ""])
def test_usage_that_comes_too_late_for_the_funds_is_refused_and_the_hold_goes_back(play: Play, swept: str) -> None:
    play(f"""
        grant     promo 6 kind=promotional expires=60
        grant     card 3
        authorize run work=6 life=60
        later     60
        {swept}
        capture   run work=4   -> insufficient_funds, 3 available, 4 required
        status    run          -> expired, 0 captured, 0 still_held
        grant     promo        -> 0 remaining, 0 held, 6 expired
        capture   run work=3   -> charged
    """)
    assert UsageEvent.objects.filter(status="rejected").count() == 0


def test_usage_that_comes_too_late_is_kept_unpaid_where_the_work_counts_as_done(play: Play) -> None:
    play("""
        grant     card 3
        policy    overdraft
        authorize run work=3 life=60
        use       work=1       -> unpaid
        later     60
        capture   run work=5   -> unpaid, 0 captured, 0 still_held
        capture   run work=3   -> charged
    """)


@pytest.mark.parametrize("end", ["void run", "capture run 1"])
def test_usage_that_comes_after_another_end_is_refused(play: Play, end: str) -> None:
    play(f"""
        grant     card 10
        authorize run work=4 life=60
        {end}
        later     60
        capture   run work=3   -> invalid_state
    """)
    assert UsageEvent.objects.count() == 0


def test_at_the_last_moment_it_still_counts(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=4 life=60
        later     59.999999
        capture   run work=4   -> charged
        status    run          -> captured
    """)


@pytest.mark.parametrize("life", [0, -1, 0.5, LIFE_MAX.total_seconds() + 1])
def test_a_life_is_from_a_second_to_a_week(play: Play, life: float) -> None:
    play(f"""
        grant     card 10
        authorize run 1 life={life}      -> invalid_request
        authorize run work=1 life={life} -> invalid_request
        authorize run 1 life=1
        authorize two work=1 life=604800
    """)


# --- Grants that lapse while work runs --------------------------------------------------------------------------------


def test_a_hold_outlives_its_grant_and_the_rest_of_the_grant_does_not(play: Play) -> None:
    play("""
        grant     promo 10 kind=promotional expires=60
        authorize run work=4
        later     60
        sweep                  -> 1 grants
        grant     promo        -> 0 remaining, 4 held, 0 drawn, 6 expired, 1 expiries
        balance                -> 0 available, 4 held
        use       work=1       -> insufficient_funds
        capture   run work=3   -> charged
        grant     promo        -> 0 remaining, 0 held, 3 drawn, 7 expired, 2 expiries
        balance                -> 0 available, 0 held
    """)


@pytest.mark.parametrize("swept", ["sweep", ""])
@pytest.mark.parametrize("end", ["void run", "later 600\nsweep"])
def test_what_is_given_back_to_a_lapsed_grant_expires_at_once(play: Play, swept: str, end: str) -> None:
    play(f"""
        grant     promo 10 kind=promotional expires=60
        authorize run work=4
        later     60
        {swept}
        {end}
        grant     promo        -> 0 remaining, 0 held, 0 drawn, 10 expired
        balance                -> 0 available, 0 held
    """)


def test_what_was_set_aside_pays_before_the_free_balance(play: Play) -> None:
    """Otherwise the lapsed part would be lost to the customer."""
    play("""
        grant     promo 4 kind=promotional expires=60
        authorize run work=4
        grant     card 10
        later     61
        capture   run work=5   -> charged
        grant     promo        -> 0 remaining, 4 drawn, 0 expired
        grant     card         -> 9 remaining, 1 drawn
    """)


def test_a_part_of_what_a_lapsed_grant_holds_leaves_the_rest_held(play: Play) -> None:
    play("""
        grant     promo 10 kind=promotional expires=60
        authorize run work=4
        later     60
        capture   run work=1 more -> charged, 3 still_held
        grant     promo           -> 0 remaining, 3 held, 1 drawn, 6 expired, 1 expiries
        capture   run 1 more      -> 2 still_held
        void      run
        grant     promo           -> 0 remaining, 0 held, 2 drawn, 8 expired, 2 expiries
    """)


def test_two_authorizations_on_one_lapsed_grant_expire_it_in_parts(play: Play) -> None:
    play("""
        grant     promo 10 kind=promotional expires=60
        authorize one work=2
        authorize two work=3
        later     60
        sweep
        void      one
        void      two
        grant     promo        -> 0 remaining, 0 held, 0 drawn, 10 expired, 3 expiries
    """)


def test_a_grant_that_has_not_started_serves_no_authorization(play: Play) -> None:
    play("""
        grant     soon 10 starts=60
        authorize run work=1   -> insufficient_funds, 0 available, 1 required
        authorize run 1        -> insufficient_funds
        later     60
        authorize run work=1
        balance                -> 9 available, 1 held
    """)


def test_a_grant_that_lapsed_unswept_serves_no_authorization(play: Play) -> None:
    play("""
        grant     promo 10 kind=promotional expires=60
        later     60
        authorize run work=1   -> insufficient_funds, 0 available
        authorize run 1        -> insufficient_funds, 0 available
    """)


# --- Restricted grants ------------------------------------------------------------------------------------------------


def test_a_restricted_grant_serves_only_its_meters(play: Play) -> None:
    play("""
        grant     works 5 meters=work
        authorize run talk=1   -> insufficient_funds, 0 available, 1 required
        authorize run 1        -> insufficient_funds, 0 available, 1 required
        authorize run work=4
        grant     works        -> 1 remaining, 4 held
        capture   run talk=1   -> insufficient_funds
        capture   run 1        -> insufficient_funds
        capture   run work=3   -> charged
        grant     works        -> 2 remaining, 0 held, 3 drawn
    """)


def test_each_line_is_held_where_it_may_be_paid_from(play: Play) -> None:
    play("""
        grant     works 5 meters=work
        grant     card 5
        authorize run work=5 talk=5
        grant     works                 -> 0 remaining, 5 held
        grant     card                  -> 0 remaining, 5 held
        capture   run talk=3 more       -> charged, 7 still_held
        grant     works                 -> 5 held, 0 drawn
        grant     card                  -> 2 held, 3 drawn
        capture   run 1 more            -> 6 still_held
        grant     card                  -> 1 held, 4 drawn
        capture   run work=2 talk=1     -> charged
        grant     works                 -> 3 remaining, 0 held, 2 drawn
        grant     card                  -> 0 remaining, 0 held, 5 drawn
    """)


def test_a_part_does_not_touch_lapsed_holds_it_cannot_be_paid_from(play: Play) -> None:
    play("""
        grant     works 5 meters=work expires=60
        grant     card 10
        authorize run work=5 talk=5
        later     60
        capture   run talk=3 more       -> charged, 7 still_held
        grant     works                 -> 0 remaining, 5 held, 0 expired
        capture   run work=4            -> charged
        grant     works                 -> 0 remaining, 4 drawn, 1 expired
    """)


def test_a_capture_that_another_division_of_the_money_would_pay_for_is_refused_not_broken(play: Play) -> None:
    """What was set aside pays first, for whichever line comes first."""
    play("""
        grant     card 10
        authorize run work=10
        grant     works 10 meters=work
        capture   run work=10 talk=5  -> insufficient_funds, 10 available, 15 required
        status    run                 -> open, 10 still_held
    """)


# --- Several assets ---------------------------------------------------------------------------------------------------


def test_several_assets_are_set_aside_together_or_not_at_all(play: Play) -> None:
    play("""
        grant     card 10
        grant     pictures 3 asset=images kind=promotional
        authorize run work=4 images=4     -> insufficient_funds, 3 available, 4 required
        authorize run work=11 images=2    -> insufficient_funds, 10 available, 11 required
        authorize run work=4 images=2
        balance   usd                     -> 6 available, 4 held
        balance   images                  -> 1 available, 2 held
        status    run                     -> open, 4 amount
        capture   run work=1 images=1 more -> charged, 1 captured, 4 still_held
        capture   run work=1 images=2     -> charged, 2 captured
        balance   usd                     -> 8 available, 0 held
        balance   images                  -> 0 available, 0 held
    """)


def test_the_amount_is_in_the_customers_currency_if_that_is_among_the_assets(play: Play) -> None:
    play("""
        grant     pictures 3 asset=images kind=promotional
        authorize run images=2
    """)
    authorization = play.opened["run"].authorization
    assert (authorization.asset_id, authorization.amount) == ("images", 2)
    assert dict(play.opened["run"].holds) == {"images": Decimal(2)}


def test_an_amount_captured_is_of_the_main_asset_and_the_others_are_given_back(play: Play) -> None:
    play("""
        grant     card 10
        grant     pictures 3 asset=images kind=promotional
        authorize run work=4 images=2
        capture   run 1 more      -> 1 captured, 5 still_held
        balance   images          -> 1 available, 2 held
        capture   run 1           -> 2 captured, 0 still_held
        balance   usd             -> 8 available, 0 held
        balance   images          -> 3 available, 0 held
    """)


def test_the_largest_and_finest_amounts_can_be_given_back(play: Play) -> None:
    play("""
        grant     card 123456789012345678.123456789012
        authorize run 123456789012345678.123456789012
        capture   run 0.123456789012 more
        void      run
        balance                -> 123456789012345678 available, 0 held
    """)


def test_one_that_cannot_be_expired_keeps_nobody_else_waiting(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    play("""
        grant     card 10
        authorize one 4 life=60
        authorize two 4 life=61
    """)
    close, one = holds.close, play.opened["one"].authorization.pk

    def trouble(state: holds.AuthorizationState, **end: Any) -> Any:
        if state.id == one:
            raise RuntimeError
        return close(state, **end)

    monkeypatch.setattr(holds, "close", trouble)
    play.clock.forward(hours=1)

    assert authorizations.expire_due() == 1
    assert play.shop.balance(play.customer).held == 4


# --- Overdraft --------------------------------------------------------------------------------------------------------


def test_the_overdraft_can_be_held_and_money_that_arrives_meanwhile_is_free(play: Play) -> None:
    play("""
        grant     card 2
        limit     5
        authorize run work=6
        balance                -> -4 available, 6 held, 0 owed, 4 overdraft_held
        use       work=2       -> insufficient_funds
        use       work=1       -> charged
        balance                -> -5 available, 6 held, 1 owed
        grant     more 3
        balance                -> -2 available, 6 held, 0 owed, 4 overdraft_held
        grant     more         -> 2 remaining, 1 drawn
        void      run
        balance                -> 4 available, 0 held, 0 owed, 0 overdraft_held
        grant     card         -> 2 remaining, 0 held
    """)


@pytest.mark.parametrize("end", ["void run", "capture run 1"])
def test_what_comes_back_pays_what_was_used_beyond_it_meanwhile(play: Play, end: str) -> None:
    """As if it had not been set aside: nobody is invoiced for what their own money pays."""
    play(f"""
        limit     10
        grant     card 10
        authorize run 10
        use       work=4
        balance            -> -4 available, 10 held, 4 owed
        {end}
    """)
    balance, used = Balance.objects.get(asset_id="usd"), 1 if "capture" in end else 0
    assert (balance.available, balance.held, balance.owed) == (6 - used, 0, 0)


def test_what_was_held_of_the_overdraft_is_owed_after_the_capture(play: Play) -> None:
    play("""
        grant     card 2
        limit     5
        authorize run work=6
        capture   run work=5 more -> charged, 1 still_held
        balance                   -> -4 available, 1 held, 3 owed, 1 overdraft_held
        capture   run work=2      -> charged
        balance                   -> -5 available, 0 held, 5 owed, 0 overdraft_held
    """)


def test_money_that_arrived_pays_before_the_overdraft_that_was_held(play: Play) -> None:
    play("""
        limit     5
        authorize run work=4
        grant     card 3
        balance                -> -1 available, 4 held, 0 owed
        capture   run work=4   -> charged
        balance                -> -1 available, 0 held, 1 owed
        grant     card         -> 0 remaining, 3 drawn
    """)


def test_a_limit_cannot_be_lowered_below_what_is_held_of_it(play: Play) -> None:
    play("""
        limit     5
        authorize run work=4
        limit     3            -> invalid_state
        limit     4
        authorize other 1      -> insufficient_funds
        void      run
        limit     0
    """)


# --- What the wallet carries ------------------------------------------------------------------------------------------


def test_affordable_is_the_largest_whole_quantity(play: Play) -> None:
    play("""
        grant     card 10.75
        authorize run work=1             -> 10 work
        void      run
        authorize run work=11            -> insufficient_funds, 10.75 available
        authorize run work=10
    """)


def test_affordable_leaves_the_other_meters_what_they_need(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=1 talk=2.5    -> 7 work, 9 talk, 2 affordable
        void      run
        authorize run work=7 talk=2.5
    """)


def test_what_costs_nothing_has_no_bound_and_is_not_listed(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=1 air=5       -> 10 work, 1 affordable
    """)


def test_affordable_counts_the_overdraft(play: Play) -> None:
    play("""
        grant     card 2
        limit     5
        authorize run work=1             -> 7 work
        authorize two work=1             -> 6 work
        use       work=5                 -> charged
        authorize new work=0             -> 0 work
    """)


def test_affordable_counts_what_may_pay_for_the_meter(play: Play) -> None:
    play("""
        grant     card 3
        grant     works 5 meters=work
        grant     soon 100 starts=60
        authorize run work=1 talk=1      -> 7 work, 3 talk
    """)


def test_affordable_is_what_opening_would_really_take(play: Play) -> None:
    """The meters are paid in their order, whoever else could use what is left better."""
    play("""
        grant     card 5 priority=1
        grant     talks 5 meters=talk
        authorize run work=1 talk=5      -> 5 work, 9 talk
        void      run
        authorize run work=5 talk=5
        void      run
        authorize run work=6 talk=5      -> insufficient_funds
    """)


def test_affordable_is_no_more_than_opening_would_take(play: Play) -> None:
    play("""
        grant     card 5 priority=1
        grant     works 5 meters=work
        authorize run work=1 talk=4      -> 1 work, 4 talk
        void      run
        authorize run work=2 talk=4      -> insufficient_funds
    """)


@pytest.mark.parametrize("asset", ["usd", "images"])
def test_a_field_that_two_meters_count_is_paid_twice(shop: Shop, clock: Clock, asset: str) -> None:
    other = shop.usd if asset == "usd" else shop.asset("images")
    shop.plan(
        "double",
        [
            shop.price(shop.meter("tokens", "tokens"), "1"),
            shop.price(shop.meter("fee", "tokens"), "1", asset=other),
        ],
    )
    acme = shop.customer(plan="double", usd="10")
    if asset == "images":
        shop.fund(acme, "7", asset="images", kind="promotional")

    opened = authorizations.open_for_usage(event=shop.event(acme, id="", source="", tokens=1))

    assert dict(opened.affordable) == {"tokens": Decimal(5 if asset == "usd" else 7)}


def test_affordable_rounds_as_the_period_does(shop: Shop, clock: Clock) -> None:
    """A credit for every 1,000 tokens, where 1,499 of this period are charged already: as one credit."""
    credits = shop.asset("credits", precision=0)
    shop.plan("credits", [shop.price(shop.meter("tokens", "tokens"), "1", per="1000", asset=credits)])
    acme = shop.customer(plan="credits")
    shop.fund(acme, "3", asset="credits", kind="promotional")
    assert shop.record(acme, tokens=1499).cost == {"credits": 1}

    opened = authorizations.open_for_usage(event=shop.event(acme, id="", source="", tokens=1))
    authorizations.void(authorization=opened.authorization)

    # F rounds half even: 3,500 tokens cost 4 credits and 3,499 cost 3, of which one is paid.
    assert dict(opened.affordable) == {"tokens": Decimal(2000)}
    with pytest.raises(InsufficientFunds):
        authorizations.open_for_usage(event=shop.event(acme, id="", source="", tokens=2001))
    assert authorizations.open_for_usage(event=shop.event(acme, id="", source="", tokens=2000)).holds == {"credits": 2}


# --- The customer's policy --------------------------------------------------------------------------------------------


def test_where_work_counts_as_done_a_capture_that_the_wallet_cannot_pay_is_kept_as_unpaid(play: Play) -> None:
    play("""
        policy    overdraft
        grant     card 5
        authorize run work=4
        capture   run work=6 id=e1 -> unpaid, 0 captured, 0 still_held
        status    run              -> captured
        balance                    -> 5 available, 0 held, 0 owed
        capture   run work=6 id=e1 -> replayed
    """)
    assert UsageEvent.objects.get().status == "unpaid"


def test_a_part_that_is_kept_as_unpaid_leaves_the_hold_to_the_rest_of_the_run(play: Play) -> None:
    play("""
        policy    overdraft
        grant     promo 5 kind=promotional expires=60
        authorize run work=4
        later     60
        capture   run work=6 more  -> unpaid, 0 captured, 4 still_held
        status    run              -> open
        grant     promo            -> 0 remaining, 4 held, 1 expired
        capture   run work=4       -> charged, 4 captured
        grant     promo            -> 4 drawn, 1 expired
    """)
    assert sorted(UsageEvent.objects.values_list("status", flat=True)) == ["charged", "unpaid"]


# --- The same thing again ---------------------------------------------------------------------------------------------


def test_the_same_capture_again_gets_the_first_answer(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=4
        capture   run work=3 id=e1  -> charged, 3 captured
        capture   run work=3 id=e1  -> replayed, 3 captured
        balance                     -> 7 available, 0 held
    """)
    assert Charge.objects.count() == 1


def test_a_part_again_is_not_charged_again(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=4
        capture   run work=1 id=e1 more -> charged, 1 captured, 3 still_held
        capture   run work=1 id=e1 more -> replayed, 1 captured, 3 still_held
        capture   run work=1 id=e2 more -> charged, 2 captured, 2 still_held
    """)


def test_the_same_event_to_two_authorizations_is_charged_once(play: Play) -> None:
    play("""
        grant     card 10
        authorize one work=4
        authorize two work=4
        capture   one work=3 id=e1  -> charged, 3 captured
        capture   two work=3 id=e1  -> replayed, 0 captured
        status    two               -> captured, 0 still_held
        balance                     -> 7 available, 0 held
    """)


def test_an_event_that_was_recorded_without_the_authorization_is_not_charged_again(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=4
        use       work=3 id=e1      -> charged
        capture   run work=3 id=e1 more -> replayed, 0 captured, 4 still_held
        status    run               -> open
        capture   run work=3 id=e1  -> replayed, 0 captured, 0 still_held
        status    run               -> captured
        balance                     -> 7 available, 0 held
        capture   run work=3 id=e1  -> replayed, 0 captured
        capture   run work=1 id=e2  -> invalid_state
    """)


def test_the_last_part_again_as_the_final_one_closes_it(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=4
        capture   run work=3 id=e1 more -> charged, 3 captured, 1 still_held
        capture   run work=3 id=e1      -> replayed, 3 captured, 0 still_held
        status    run                   -> captured
        balance                         -> 7 available, 0 held
    """)


def test_a_conflict_leaves_it_open_until_its_time_is_over(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=4 life=60
        use       work=3 id=e1
        capture   run work=2 id=e1  -> event_conflict
        status    run               -> open, 4 still_held
        later     60
        capture   run work=2 id=e1  -> event_conflict
        status    run               -> expired, 0 still_held
    """)


def test_an_event_that_was_refused_before_is_refused_again(play: Play) -> None:
    play("""
        grant     card 5
        authorize run work=4
        use       work=3 id=e1      -> insufficient_funds
        capture   run work=3 id=e1  -> insufficient_funds
        status    run               -> open, 4 still_held
        capture   run work=3 id=e2  -> charged
    """)


def test_the_same_event_with_other_content_is_a_conflict(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=4
        capture   run work=1 id=e1 more -> charged
        capture   run work=2 id=e1 more -> event_conflict
        capture   run work=2 id=e1      -> event_conflict
        status    run                   -> open, 1 captured, 3 still_held
    """)
    assert EventConflict.status == 409


# --- Refusals ---------------------------------------------------------------------------------------------------------


def test_a_refused_authorization_leaves_no_trace(play: Play) -> None:
    play("grant card 1")
    transactions = LedgerTransaction.objects.count()

    with pytest.raises(InsufficientFunds) as refusal:
        authorizations.open_for_usage(event=play.shop.event("acme", id="", source="", type=RUN, data={"work": 2}))

    assert refusal.value.figures == {"asset": "usd", "available": Decimal(1), "required": Decimal(2)}
    assert Authorization.objects.count() == Hold.objects.count() == 0
    assert LedgerTransaction.objects.count() == transactions
    assert LedgerEntry.objects.filter(kind="hold").count() == 0


def test_the_figures_of_a_refusal_are_those_of_the_whole_event(play: Play) -> None:
    play("""
        grant     card 10
        authorize run work=6 talk=6  -> insufficient_funds, 10 available, 12 required
    """)


@pytest.mark.parametrize("amount", ["0", "-1", "1.0000000000001"])
def test_an_amount_must_be_positive_and_no_finer_than_its_asset(play: Play, amount: str) -> None:
    play("grant card 10\nauthorize run 4")
    usd = play.shop.usd

    with pytest.raises(InvalidRequest) as opening:
        authorizations.open_amount(customer=play.customer, asset=usd, amount=Decimal(amount))
    with pytest.raises(InvalidRequest) as capturing:
        authorizations.capture_amount(authorization=play.opened["run"].authorization, amount=Decimal(amount))

    assert {e.field for e in [*opening.value.errors, *capturing.value.errors]} == {"amount"}
    play("status run -> open, 4 still_held")


def test_an_amount_may_be_no_finer_than_an_asset_without_decimals(play: Play) -> None:
    play("grant pictures 3 asset=images kind=promotional\nauthorize run 2 asset=images")

    with pytest.raises(InvalidRequest, match="images has at most 0 decimals"):
        authorizations.open_amount(customer=play.customer, asset=play.shop.asset("images"), amount=Decimal("1.5"))
    with pytest.raises(InvalidRequest, match="images has at most 0 decimals"):
        authorizations.capture_amount(authorization=play.opened["run"].authorization, amount=Decimal("1.5"))

    play("capture run 1 -> 1 captured")


def test_the_event_of_another_customer_is_refused(play: Play) -> None:
    play.shop.customer("globex", plan="runs", usd="10")
    play("grant card 10\nauthorize run work=4")
    event = play.shop.event("globex", type=RUN, data={"work": 1})

    with pytest.raises(InvalidRequest) as refusal:
        authorizations.capture_usage(authorization=play.opened["run"].authorization, event=event)

    assert [error.field for error in refusal.value.errors] == ["subject"]
    play("status run -> open, 4 still_held")
    assert UsageEvent.objects.count() == 0


def test_a_customer_that_is_not_there_is_not_found(play: Play) -> None:
    with pytest.raises(NotFound):
        authorizations.open_for_usage(event=play.shop.event("nobody", id="", source="", type=RUN, data={"work": 1}))


def test_usage_without_a_price_is_refused(play: Play) -> None:
    play("grant card 10\nauthorize run work=4")

    with pytest.raises(UnpricedUsage):
        authorizations.open_for_usage(event=play.shop.event("acme", id="", source="", type="x", data={"work": 1}))
    with pytest.raises(UnpricedUsage):
        authorizations.capture_usage(
            authorization=play.opened["run"].authorization, event=play.shop.event("acme", type="x", data={"work": 1})
        )

    play("status run -> open, 4 still_held")


@pytest.mark.parametrize("act", ["capture run 1", "capture late 1", "capture late work=99", "void run", "void late"])
def test_a_refusal_after_the_end_moves_nothing_else_that_is_due(play: Play, act: str) -> None:
    play(
        f"""
        grant     promo 10 kind=promotional expires=30
        authorize run 1
        authorize late 1 life=5
        capture   run 1
        later     5
        sweep                  -> 1 authorizations
        later     30
        {act}
        grant     promo        -> 9 remaining, 0 expired
        sweep                  -> 1 grants
    """.replace(act, f"{act} -> {'insufficient_funds' if 'work' in act else 'invalid_state'}")
    )


def test_the_refusal_of_a_closed_one_says_what_it_became(play: Play) -> None:
    play("grant card 10\nauthorize run 1\nvoid run\nauthorize late 1 life=1\nlater 1")

    with pytest.raises(InvalidState, match="voided already") as closed:
        authorizations.capture_amount(authorization=play.opened["run"].authorization, amount=Decimal(1))
    with pytest.raises(InvalidState, match=r"expired already\. Record the usage") as late:
        authorizations.capture_amount(authorization=play.opened["late"].authorization, amount=Decimal(1))

    assert (closed.value.figures, late.value.figures) == ({"status": "voided"}, {"status": "expired"})


# --- The ledger -------------------------------------------------------------------------------------------------------


def test_each_step_is_in_the_ledger(play: Play) -> None:
    play("""
        grant     card 2
        limit     5
        authorize run work=3
        capture   run work=2.5
    """)
    assert list(LedgerEntry.objects.order_by("seq").values_list("kind", "debit", "credit", "amount")) == [
        ("top_up", "cash_clearing", "wallet_available", Decimal(2)),
        ("hold", "wallet_available", "wallet_held", Decimal(2)),
        ("hold", "receivable", "wallet_held", Decimal(1)),
        ("release", "wallet_held", "wallet_available", Decimal(2)),
        ("release", "wallet_held", "receivable", Decimal(1)),
        ("usage", "wallet_available", "usage", Decimal(2)),
        ("usage", "receivable", "usage", Decimal("0.5")),
    ]
    after = list(LedgerEntry.objects.order_by("seq").values_list("available_after", "held_after"))
    assert after == [(2, 0), (0, 2), (-1, 3), (1, 1), (2, 0), (0, 0), (Decimal("-0.5"), 0)]


def test_an_authorization_says_what_it_is_for(play: Play) -> None:
    play("grant card 10\nauthorize run work=4 life=30")

    authorization = Authorization.objects.get()
    assert (authorization.type, authorization.data, authorization.amount) == (RUN, {"work": Decimal(4)}, Decimal(4))
    assert authorization.expires_at - authorization.created_at == timedelta(seconds=30)
    assert [(hold.grant_id, hold.amount) for hold in Hold.objects.all()] == [(play.grants["card"].pk, Decimal(4))]


# --- A job that is charged as it runs ---------------------------------------------------------------------------------


def test_a_job_of_three_hours_draws_its_gpu_hours_a_quarter_at_a_time(shop: Shop, clock: Clock) -> None:
    hours = shop.asset("gpu_hours", precision=2)
    meter = shop.meter("gpu_time", "hours", event_type="gpu.job")
    shop.plan("gpu", [shop.price(meter, "1", asset=hours)])
    acme = shop.customer(plan="gpu")
    shop.fund(acme, "10", asset="gpu_hours", kind="promotional")
    clock.stop()
    job = shop.event(acme, id="job-7", type="gpu.job", hours=3)
    opened = authorizations.open_for_usage(event=job, life=timedelta(hours=4)).authorization
    seen = []

    for quarter in range(1, 13):
        clock.forward(minutes=15)
        part = shop.event(acme, id=f"job-7/{quarter}", type="gpu.job", time=clock.now(), hours=Decimal("0.25"))
        authorizations.capture_usage(authorization=opened, event=part, final=quarter == 12)
        balance = shop.balance(acme, "gpu_hours")
        seen.append((balance.available, balance.held))

    assert seen == [(7, Decimal(12 - quarter) / 4) for quarter in range(1, 13)]
    drawn = LedgerEntry.objects.filter(transaction__template="usage.charged").order_by("id")
    assert [entry.amount for entry in drawn] == [Decimal("0.25")] * 12
    opened.refresh_from_db()
    assert (opened.status, opened.captured) == ("captured", 3)
