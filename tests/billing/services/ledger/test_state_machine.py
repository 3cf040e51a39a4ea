"""Any sequence of grants, usage, authorizations, overdraft and time, beside a naive model of the rules.

After each step both must agree on the balance and on every grant and authorization, to the last digit. Hypothesis finds
the sequences, and the shortest one that fails. ``ANTE_LONG=1`` takes 5,000 steps and more, others each time.
"""

import copy
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from accounts.services.audit import SYSTEM
from billing.errors import InsufficientFunds, InvalidState
from billing.models import Authorization, Grant, Hold
from billing.selectors.customer import customers
from billing.selectors.ledger import books
from billing.services import authorizations, usage
from billing.services.ledger.posting import Journal
from billing.services.ledger.states import BalanceState
from billing.services.wallet import grants, wallets
from tests.billing.services.conftest import Clock
from tests.billing.services.naive import NEVER, ZERO, Credit, Lines, Model, Refused
from tests.builders import Shop

RUN = "agent.run"
LONG = os.environ.get("ANTE_LONG") == "1"
WALKS = settings(
    max_examples=150 if LONG else 16,
    stateful_step_count=50,
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
CONTROL = settings(WALKS, max_examples=200, derandomize=True, phases=[Phase.generate])

amounts = st.integers(1, 60).map(lambda quarters: Decimal(quarters) / 4)
uses = st.integers(0, 16).map(lambda quarters: Decimal(quarters) / 4)
metered = st.one_of(
    st.tuples(st.tuples(st.sampled_from(["work", "talk"]), uses)),
    st.tuples(st.tuples(st.just("work"), uses), st.tuples(st.just("talk"), uses)),
).map(list)
plain = st.tuples(st.tuples(st.none(), uses.filter(bool))).map(list)


class Walk(RuleBasedStateMachine):
    """Does the same to the product and to the model, in a transaction that is rolled back."""

    def __init__(self, shop: Shop, clock: Clock, start: datetime, met: set[tuple[str, str]]) -> None:
        super().__init__()
        self.shop, self.clock, self.start, self.met = shop, clock, clock.stop(start), met
        self.model = Model()
        self.grants: list[Any] = []
        self.authorizations: list[Any] = []
        self.steps = 0
        self._transaction = transaction.atomic()
        self._transaction.__enter__()
        customers.forget()
        self.customer, self.usd = shop.customer(plan="runs"), shop.usd

    def teardown(self) -> None:
        try:
            if not transaction.get_connection().needs_rollback:
                self.agree(everything=True)
                assert list(books.differences()) == []
        finally:
            transaction.set_rollback(True)
            self._transaction.__exit__(None, None, None)

    def both(self, what: str, modelled: Callable[[Model], Any], real: Callable[[], Any]) -> Any:
        """Do it to both. A refusal by either must be a refusal by the other."""
        trial = copy.deepcopy(self.model)
        try:
            expected = modelled(trial)
            self.model = trial
        except Refused:
            expected = "refused"
        try:
            found = real()
        except (InsufficientFunds, InvalidState):
            # Nothing changed but, for one who came too late, the state of the authorization.
            found = "too late" if expected == "too late" else "refused"
        outcome = found if isinstance(found, str) else "done"
        assert outcome == (expected or "done"), f"{what}: {found} instead of {expected}"
        self.met.add((what, outcome))
        return found

    def at(self, seconds: int) -> datetime:
        return self.start + timedelta(seconds=seconds)

    # --- Steps ---

    @rule(
        amount=amounts,
        promotional=st.booleans(),
        priority=st.sampled_from([50, 50, 10]),
        starts=st.sampled_from([0, 0, 0, 0, 20, 60]),
        life=st.sampled_from([None, None, 1, 30, 90, 200]),
        meters=st.sampled_from([[], [], [], ["work"], ["talk"], ["talk", "work"]]),
    )
    def fund(
        self, amount: Decimal, promotional: bool, priority: int, starts: int, life: int | None, meters: list[str]
    ) -> None:
        now = self.model.now
        starts += now
        ends = NEVER if life is None else starts + life
        credit = Credit(amount, promotional, priority, starts, ends, set(meters), remaining=amount)
        self.grants.append(
            self.both(
                "fund",
                lambda model: model.grant(credit),
                lambda: (
                    self.shop.fund(
                        self.customer,
                        str(amount),
                        kind="promotional" if promotional else "purchase",
                        priority=priority,
                        effective_at=self.at(starts) if starts > now else None,
                        expires_at=None if life is None else self.at(ends),
                        applies_to={"meters": meters} if meters else None,
                    ).pk
                ),
            )
        )

    @rule(what=st.sampled_from(["limit", "take_back", "void", "sweep"]), number=st.integers(0, 99))
    def seldom(self, what: str, number: int) -> None:
        """One rule for all of these, so that the walk has money to spend and holds to capture most of the time."""
        if what == "limit":
            self.limit(Decimal([5, 0, 2, 9][number % 4]))
        elif what == "take_back" and self.grants:
            self.take_back(max(0, len(self.grants) - 1 - number % 12))
        elif what == "void" and self.authorizations:
            self.void(self.pick(number))
        else:
            self.sweep()

    def limit(self, limit: Decimal) -> None:
        def real() -> None:
            wallets.set_overdraft_limit(actor=SYSTEM, customer=self.customer, asset=self.usd, limit=limit)

        self.both("limit", lambda model: model.set_limit(limit), real)

    def take_back(self, number: int) -> None:
        def real() -> None:
            grant = Grant.objects.select_related("customer").get(pk=self.grants[number])
            grants.void(actor=SYSTEM, grant=grant, reason="The walk took it back.")

        self.both("take_back", lambda model: model.take_back(number), real)

    @rule(lines=metered)
    def use(self, lines: Lines) -> None:
        self.both(
            "use",
            lambda model: model.use(lines),
            lambda: str(self.shop.record(self.customer, type=RUN, data=dict(lines)).status),
        )

    @rule(lines=st.one_of(metered, plain), life=st.sampled_from([300, 60, 60, 5]))
    def open(self, lines: Lines, life: int) -> None:
        def real() -> str:
            terms: dict[str, Any] = {"life": timedelta(seconds=life)}
            if lines[0][0] is None:
                terms |= {"customer": self.customer, "asset": self.usd, "amount": lines[0][1]}
                opened = authorizations.open_amount(**terms)
            else:
                event = usage.IncomingEvent(
                    id="", source="", type=RUN, subject="acme", time=None, data={str(m): a for m, a in lines}
                )
                opened = authorizations.open_for_usage(event=event, **terms)
            self.authorizations.append(opened.authorization.pk)
            return "open"

        self.both("open", lambda model: model.open(lines, life), real)

    def pick(self, number: int) -> int:
        """Mostly one of those that are open."""
        alive = [n for n, promise in enumerate(self.model.promises) if promise.status == "open"]
        return alive[number % len(alive)] if alive and number % 10 else number % len(self.authorizations)

    @precondition(lambda self: self.authorizations)
    @rule(number=st.integers(0, 99), lines=st.one_of(metered, plain))
    def capture_a_part(self, number: int, lines: Lines) -> None:
        self.capture(self.pick(number), lines, final=False)

    @precondition(lambda self: self.authorizations)
    @rule(number=st.integers(0, 99), lines=st.one_of(metered, plain))
    def capture_the_last(self, number: int, lines: Lines) -> None:
        self.capture(self.pick(number), lines, final=True)

    def capture(self, which: int, lines: Lines, *, final: bool) -> None:

        def real() -> str:
            row = Authorization.objects.select_related("customer", "asset").get(pk=self.authorizations[which])
            if lines[0][0] is None:
                done = authorizations.capture_amount(authorization=row, amount=lines[0][1], final=final)
            else:
                event = self.shop.event(self.customer, type=RUN, data=dict(lines))
                done = authorizations.capture_usage(authorization=row, event=event, final=final)
            return str(done.authorization.status)

        self.both("capture", lambda model: model.capture(which, lines, final=final), real)

    def void(self, which: int) -> None:
        def real() -> str:
            row = Authorization.objects.select_related("customer").get(pk=self.authorizations[which])
            return str(authorizations.void(authorization=row).status)

        self.both("void", lambda model: model.void(which), real)

    def sweep(self) -> None:
        self.both("sweep", Model.sweep_authorizations, lambda: authorizations.expire_due() and None)
        self.both("sweep", Model.settle, lambda: grants.settle_due() and None)

    @rule(seconds=st.sampled_from([1, 5, 20, 20, 60]))
    def wait(self, seconds: int) -> None:
        self.model.now += seconds
        self.clock.forward(seconds=seconds)

    # --- The comparison ---

    @invariant()
    def agree(self, *, everything: bool = False) -> None:
        self.steps += 1
        balance = self.shop.balance(self.customer)
        found = balance.available, balance.held, balance.owed, balance.overdraft_held
        assert found == self.model.balance(), f"balance {found}, not {self.model.balance()}"
        rows, promises, outstanding = Grant.objects.all(), Authorization.objects.all(), Hold.objects.all()
        if not everything:
            rows, promises = rows.filter(open=True), promises.filter(status="open")
            outstanding = outstanding.filter(outstanding__gt=0)
        grants_found = {row.pk: (row.remaining, row.held, row.drawn, row.expired, row.voided) for row in rows}
        grants_expected = {
            pk: credit.state()
            for pk, credit in zip(self.grants, self.model.credits, strict=True)
            if everything or credit.remaining + credit.held > 0
        }
        assert grants_found == grants_expected, f"grants {grants_found}, not {grants_expected}"
        held: dict[Any, Decimal] = {}
        for id_, amount in outstanding.values_list("authorization_id", "outstanding"):
            held[id_] = held.get(id_, ZERO) + amount
        shown = {row.pk: (row.status, row.captured, held.get(row.pk, ZERO)) for row in promises}
        expected = {
            pk: promise.state()
            for pk, promise in zip(self.authorizations, self.model.promises, strict=True)
            if everything or promise.status == "open"
        }
        assert shown == expected, f"authorizations {shown}, not {expected}"


def walk(shop: Shop, clock: Clock, how: settings) -> tuple[set[tuple[str, str]], int]:
    """Walk until something differs; what was met on the way, and in how many steps."""
    shop.plan(
        "runs",
        [
            shop.price(shop.meter("work", "work", event_type=RUN), "1"),
            shop.price(shop.meter("talk", "talk", event_type=RUN), "1"),
        ],
    )
    start, met, walks = clock.now(), set[tuple[str, str]](), list[Walk]()

    def one() -> Walk:
        walks.append(Walk(shop, clock, start, met))
        return walks[-1]

    run_state_machine_as_test(one, settings=how)  # type: ignore[no-untyped-call]
    return met, sum(each.steps for each in walks)


@pytest.mark.timeout(3600 if LONG else 120)
def test_the_books_and_a_naive_model_agree_after_every_step(shop: Shop, clock: Clock) -> None:
    met, steps = walk(shop, clock, WALKS)

    print(f"{steps} steps, {len(met)} kinds of outcome")
    assert steps >= (5000 if LONG else 200)
    usual = {
        ("fund", "done"),
        ("use", "charged"),
        ("use", "rejected"),
        ("open", "open"),
        ("open", "refused"),
        ("capture", "captured"),
        ("capture", "open"),
        ("void", "voided"),
    }
    assert usual <= met, "the walk was too narrow to prove anything"


def holds_pay_last(patch: pytest.MonkeyPatch) -> None:
    """What was set aside is given back, but paid from last instead of first."""
    from billing.engine import burndown

    patch.setattr(burndown, "draw_reserved", lambda reserved, amount, *, meter: [])


def holds_do_not_count(patch: pytest.MonkeyPatch) -> None:
    """What is set aside can still be spent."""
    hold = Journal.hold

    def careless(self: Journal, transaction: Any, balance: BalanceState, draws: Any) -> None:
        hold(self, transaction, balance, draws)
        for part in draws:
            balance.available += part.amount

    patch.setattr(Journal, "hold", careless)


def the_balance_is_read_and_then_written(patch: pytest.MonkeyPatch) -> None:
    """What is written is what was read before, not what became of it since."""
    row = BalanceState.row
    stale: dict[Any, Decimal] = {}

    def late(self: BalanceState) -> dict[str, Any]:
        now = row(self)
        before = stale.get(self.id, now["available"])
        stale[self.id] = now["available"]
        return now | {"available": before}

    patch.setattr(BalanceState, "row", late)


@pytest.mark.parametrize("mutant", [holds_pay_last, holds_do_not_count, the_balance_is_read_and_then_written])
def test_the_walk_finds_a_rule_that_is_broken(
    shop: Shop, clock: Clock, monkeypatch: pytest.MonkeyPatch, mutant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    mutant(monkeypatch)

    with pytest.raises(AssertionError):
        walk(shop, clock, CONTROL)
