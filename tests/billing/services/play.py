"""Money stories as scripts: one line a step, each with its outcome.

    grant     card 10                  10 dollars. Options: expires=60 starts=60 meters=work kind=promotional asset=…
    limit     5                        what the overdraft allows
    authorize run 4                    by amount; or by usage: authorize run work=4. Option: life=60
    capture   run 1.5                  or work=1.5. Options: more (the authorization stays open), id=e1 (the event's)
    void      run
    use       work=3                   an event without an authorization. Option: id=e1
    later     60                       seconds go by
    sweep                              what the worker does
    freeze                             the wallet

What comes after ``->`` is checked: the code of a refusal, ``unpaid``, ``replayed``, or figures: ``8.5 available``.
A refusal that nobody expected fails the story, and after a refusal the wallet must be what it was before.
"""

import itertools
from datetime import timedelta
from decimal import Decimal
from typing import Any

from accounts.services.audit import SYSTEM
from billing.engine.money import amount_string
from billing.errors import BillingError
from billing.models import Asset, Authorization, Balance, Customer, Grant, Hold, LedgerEntry, UsageEvent
from billing.services import authorizations, usage
from billing.services.authorizations import Opened
from billing.services.wallet import grants, wallets
from tests.billing.services.conftest import Clock
from tests.builders import Shop

RUN = "agent.run"
SWITCHES = {"more"}


class Play:
    """The stage: a customer on a plan where a unit of ``work`` and of ``talk`` costs a dollar each, an image one of
    the asset ``images``, and ``air`` nothing."""

    def __init__(self, shop: Shop, clock: Clock) -> None:
        self.shop, self.clock = shop, clock
        clock.stop()
        images = shop.asset("images")
        shop.plan(
            "runs",
            [
                shop.price(shop.meter("work", "work", event_type=RUN), "1"),
                shop.price(shop.meter("talk", "talk", event_type=RUN), "1"),
                shop.price(shop.meter("images", "images", event_type=RUN), "1", asset=images),
                shop.price(shop.meter("air", "air", event_type=RUN), "0"),
            ],
        )
        self.customer: Customer = shop.customer(plan="runs")
        self.grants: dict[str, Grant] = {}
        self.opened: dict[str, Opened] = {}
        self._numbers = itertools.count(1)

    def __call__(self, script: str) -> None:
        for number, line in enumerate(script.splitlines(), start=1):
            text = line.partition("#")[0].strip()
            if text:
                step, _, expected = (part.strip() for part in text.partition("->"))
                found, known = self._outcome(step)
                for wanted in filter(None, (part.strip() for part in expected.split(","))):
                    assert self._holds(wanted, found, known), f"line {number}, {text}: {found} {known}"
                if not expected:
                    assert found in {"", "charged"}, f"line {number}, {text}: {found} {known}"

    def _holds(self, wanted: str, found: str, known: dict[str, Any]) -> bool:
        value, _, name = wanted.partition(" ")
        return known.get(name) == value if name else found == value

    def _outcome(self, step: str) -> tuple[str, dict[str, Any]]:
        command, *words = step.split()
        before, due = self.traces(), self._due()
        try:
            found = getattr(self, f"_{command}")(*self._words(words))
        except BillingError as error:
            refusal = error
        else:
            return found if isinstance(found, tuple) else ("", found or {})
        assert due or self.traces() == before, f"{step}: refused as {refusal.code}, but something moved"
        figures = {name: amount_string(v) for name, v in refusal.figures.items() if isinstance(v, Decimal)}
        return refusal.code, figures

    def _words(self, words: list[str]) -> tuple[list[str], dict[str, str]]:
        return [w for w in words if "=" not in w], dict(w.split("=", 1) for w in words if "=" in w)

    def traces(self) -> list[Any]:
        """All that a refusal must leave as it was."""
        rows = [
            list(Balance.objects.order_by("id").values_list("id", "available", "held", "owed", "seq")),
            list(Grant.objects.order_by("id").values_list("id", "remaining", "held", "drawn", "expired")),
            list(Authorization.objects.order_by("id").values_list("id", "status", "captured")),
            list(Hold.objects.order_by("id").values_list("id", "outstanding")),
        ]
        counts = [LedgerEntry.objects.count(), UsageEvent.objects.count()]
        return [*rows, *counts]

    def _due(self) -> bool:
        """Whether an authorization's time is over: whoever comes by then closes it, whatever it came for."""
        return Authorization.objects.filter(status="open", expires_at__lte=self.clock.now()).exists()

    # --- Steps ------------------------------------------------------------------------------------------------------

    def _grant(self, words: list[str], options: dict[str, str]) -> dict[str, Any]:
        name, *amount = words
        if not amount:
            grant = Grant.objects.get(pk=self.grants[name].pk)
            fields = ("remaining", "held", "drawn", "expired")
            return {field: amount_string(getattr(grant, field)) for field in fields} | {
                "expiries": str(LedgerEntry.objects.filter(grant=grant, kind="expiry").count())
            }
        terms: dict[str, Any] = {"asset": options.get("asset", "usd"), "kind": options.get("kind", "purchase")}
        if "expires" in options:
            terms["expires_at"] = self.clock.now() + timedelta(seconds=float(options["expires"]))
        if "starts" in options:
            terms["effective_at"] = self.clock.now() + timedelta(seconds=float(options["starts"]))
        if "meters" in options:
            terms["applies_to"] = {"meters": options["meters"].split("+")}
        if "priority" in options:
            terms["priority"] = int(options["priority"])
        self.grants[name] = self.shop.fund(self.customer, amount[0], **terms)
        return {}

    def _limit(self, words: list[str], options: dict[str, str]) -> None:
        wallets.set_overdraft_limit(actor=SYSTEM, customer=self.customer, asset=self.shop.usd, limit=Decimal(words[0]))

    def _policy(self, words: list[str], options: dict[str, str]) -> None:
        Customer.objects.filter(pk=self.customer.pk).update(on_insufficient_funds=words[0])

    def _authorize(self, words: list[str], options: dict[str, str]) -> dict[str, Any]:
        life = timedelta(seconds=float(options.pop("life", "600")))
        asset = Asset.objects.get(pk=options.pop("asset", "usd"))
        if len(words) > 1:
            opened = authorizations.open_amount(
                customer=self.customer, asset=asset, amount=Decimal(words[1]), life=life
            )
        else:
            event = self.shop.event(self.customer, id="", source="", type=RUN, data=self._data(options))
            opened = authorizations.open_for_usage(event=event, life=life)
        self.opened[words[0]] = opened
        return {name: amount_string(quantity) for name, quantity in opened.affordable.items()} | {
            "affordable": str(len(opened.affordable))
        }

    def _capture(self, words: list[str], options: dict[str, str]) -> tuple[str, dict[str, Any]]:
        final = "more" not in words
        name, *amount = [word for word in words if word not in SWITCHES]
        authorization = Authorization.objects.get(pk=self.opened[name].authorization.pk)
        if amount:
            done = authorizations.capture_amount(authorization=authorization, amount=Decimal(amount[0]), final=final)
            return "", self._shown(done.authorization)
        event = self._event(options)
        done = authorizations.capture_usage(authorization=authorization, event=event, final=final)
        assert done.outcome is not None
        return self._result(done.outcome), self._shown(done.authorization)

    def _void(self, words: list[str], options: dict[str, str]) -> dict[str, Any]:
        authorization = Authorization.objects.get(pk=self.opened[words[0]].authorization.pk)
        return self._shown(authorizations.void(authorization=authorization))

    def _use(self, words: list[str], options: dict[str, str]) -> tuple[str, dict[str, Any]]:
        (outcome,) = usage.record([self._event(options)])
        code = outcome.error.code if outcome.error is not None else self._result(outcome)
        return code, {}

    def _later(self, words: list[str], options: dict[str, str]) -> None:
        self.clock.forward(seconds=float(words[0]))

    def _sweep(self, words: list[str], options: dict[str, str]) -> dict[str, Any]:
        return {"authorizations": str(authorizations.expire_due()), "grants": str(grants.settle_due())}

    def _freeze(self, words: list[str], options: dict[str, str]) -> None:
        wallets.freeze(actor=SYSTEM, customer=self.customer, reason="Fraud")

    def _balance(self, words: list[str], options: dict[str, str]) -> dict[str, Any]:
        balance = self.shop.balance(self.customer, words[0] if words else "usd")
        fields = ("available", "held", "owed")
        return {field: amount_string(getattr(balance, field)) for field in fields} | {
            "overdraft_held": amount_string(balance.overdraft_held)
        }

    def _status(self, words: list[str], options: dict[str, str]) -> tuple[str, dict[str, Any]]:
        authorization = Authorization.objects.get(pk=self.opened[words[0]].authorization.pk)
        return authorization.status, self._shown(authorization)

    # --- What they share --------------------------------------------------------------------------------------------

    def _event(self, options: dict[str, str]) -> usage.IncomingEvent:
        name = options.pop("id", None) or f"story-{next(self._numbers)}"
        return self.shop.event(self.customer, id=name, type=RUN, data=self._data(options))

    def _data(self, options: dict[str, str]) -> dict[str, Any]:
        return {name: Decimal(value) for name, value in options.items()}

    def _result(self, outcome: usage.Outcome) -> str:
        return "replayed" if outcome.replayed else str(outcome.status)

    def _shown(self, authorization: Authorization) -> dict[str, Any]:
        outstanding = sum(
            Hold.objects.filter(authorization=authorization).values_list("outstanding", flat=True), Decimal(0)
        )
        return {
            "captured": amount_string(authorization.captured),
            "amount": amount_string(authorization.amount),
            "still_held": amount_string(outstanding),
        }
