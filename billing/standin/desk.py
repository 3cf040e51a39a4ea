"""Who answers what at the stand-in: Stripe's addresses, the pages, and ``/_control`` to play the provider's part."""

import re
from collections.abc import Callable

from billing.standin import faults, pages
from billing.standin.rules import DEBIT_FAILS, Rules, Wrong, public
from billing.standin.store import Thing
from billing.standin.webhooks import Webhooks

_KINDS = {
    "customers": "customer",
    "payment_intents": "payment_intent",
    "setup_intents": "setup_intent",
    "payment_methods": "payment_method",
    "refunds": "refund",
    "disputes": "dispute",
    "charges": "charge",
    "payouts": "payout",
    "balance_transactions": "balance_transaction",
    "events": "event",
    "checkout/sessions": "checkout.session",
}
_COLLECTION = "|".join(_KINDS)


class Desk:
    """Who answers what: the API, the pages, and the control."""

    def __init__(self, rules: Rules, webhooks: Webhooks, script: faults.Script, key: str) -> None:
        self.rules = rules
        self.webhooks = webhooks
        self.script = script
        self.key = key

    # --- The API -------------------------------------------------------------------------------------------------

    def answer(self, method: str, path: str, asked: Thing, raw: str, key: str | None) -> tuple[int, Thing]:
        """One request of the API; with an idempotency key the first answer again."""
        with self.rules.store.changing():
            known = self.rules.store.answered(key) if key else None
            if known is not None:
                if known[0] != f"{path} {raw}":
                    return 400, {"error": {"type": "idempotency_error", "message": "The key was used for another."}}
                return known[1], known[2]
            try:
                status, body = 200, self._route(method, path, asked)
            except Wrong as wrong:
                status, body = wrong.status, {"error": wrong.error}
            except (KeyError, TypeError, ValueError) as error:
                status, body = 400, {"error": {"type": "invalid_request_error", "message": f"Not understood: {error}"}}
            if key:
                self.rules.store.keep_answer(key, f"{path} {raw}", status, body)
            return status, body

    def _route(self, method: str, path: str, asked: Thing) -> Thing:  # noqa: PLR0911 - a table, a line each.
        rules = self.rules
        if found := re.fullmatch(rf"/v1/({_COLLECTION})", path):
            kind = _KINDS[found[1]]
            return self._list(kind, asked) if method == "GET" else self._show(self._create(kind, asked), asked)
        if found := re.fullmatch(r"/v1/customers/(\w+)/payment_methods", path):
            return self._list("payment_method", asked | {"customer": found[1]})
        if found := re.fullmatch(r"/v1/checkout/sessions/(\w+)/expire", path):
            return self._show(rules.expire_session(rules.find(found[1], "checkout.session")), asked)
        if found := re.fullmatch(r"/v1/payment_intents/(\w+)/cancel", path):
            return self._show(rules.cancel(rules.find(found[1], "payment_intent")), asked)
        if found := re.fullmatch(r"/v1/payment_methods/(\w+)/(attach|detach)", path):
            thing = rules.method(found[1])
            if found[2] == "attach":
                return public(rules.save(thing | {"customer": asked["customer"]}, "payment_method.attached"))
            return public(rules.save(thing | {"customer": None}, "payment_method.detached"))
        if method == "POST" and (found := re.fullmatch(r"/v1/disputes/(\w+)", path)):
            return public(rules.answer_dispute(rules.find(found[1], "dispute"), asked))
        if method == "DELETE" and (found := re.fullmatch(r"/v1/customers/(\w+)", path)):
            return public(rules.forget_customer(rules.find(found[1], "customer")))
        if found := re.fullmatch(rf"/v1/({_COLLECTION})/(\w+)", path):
            return self._show(rules.find(found[2], _KINDS[found[1]]), asked)
        raise Wrong(404, type="invalid_request_error", message=f"Unrecognized request URL ({method}: {path}).")

    def _create(self, kind: str, asked: Thing) -> Thing:
        if kind == "customer":
            fields = {name: asked.get(name) for name in ("name", "email")}
            return self.rules.store.add("cus", kind, **fields, metadata=asked.get("metadata", {}))
        makers: dict[str, Callable[[Thing], Thing]] = {
            "checkout.session": self.rules.open_session,
            "payment_intent": self.rules.new_intent,
            "refund": self.rules.refund,
        }
        if kind not in makers:
            raise Wrong(404, type="invalid_request_error", message=f"The stand-in makes no {kind}.")
        return makers[kind](asked)

    def _list(self, kind: str, asked: Thing) -> Thing:
        span = asked.get("created") or {}
        since, until = int(span.get("gte", 0)), int(span.get("lt", 1 << 40))
        rows = [
            thing
            for thing in self.rules.store.all(kind)
            if since <= thing["created"] < until
            and all(
                thing.get(name) == asked[name] for name in ("customer", "payment_intent", "payout") if name in asked
            )
        ]
        if after := asked.get("starting_after"):
            rows = rows[[thing["id"] for thing in rows].index(after) + 1 :]
        limit = int(asked.get("limit", 10))
        return {
            "object": "list",
            "url": "/v1",
            "has_more": len(rows) > limit,
            "data": [self._show_member(thing, asked) for thing in rows[:limit]],
        }

    def _show(self, thing: Thing, asked: Thing) -> Thing:
        shown = public(thing)
        for path in asked.get("expand", []):
            self._expand(shown, path.split("."))
        return shown

    def _show_member(self, thing: Thing, asked: Thing) -> Thing:
        return self._show(thing, {"expand": [path.removeprefix("data.") for path in asked.get("expand", [])]})

    def _expand(self, shown: Thing, path: list[str]) -> None:
        inside = shown.get(path[0])
        if isinstance(inside, str) and (found := self.rules.store.get(inside)):
            inside = shown[path[0]] = public(found)
        if isinstance(inside, dict) and path[1:]:
            self._expand(inside, path[1:])

    # --- The pages -----------------------------------------------------------------------------------------------

    def visit(self, method: str, path: str, asked: Thing) -> tuple[int, str]:
        """A person's request: a page, or, with status 303, where to go."""
        with self.rules.store.changing():
            try:
                if found := re.fullmatch(r"/c/pay/(\w+)", path):
                    return self._pay_page(method, self.rules.find(found[1], "checkout.session"), asked)
                if found := re.fullmatch(r"/c/bank/(\w+)", path):
                    return self._bank_page(method, self.rules.find(found[1], "payment_intent"), asked)
            except Wrong as wrong:
                return wrong.status, pages.closed(str(wrong.error.get("message")))
            if path == "/favicon.ico":
                return 204, ""
            if path == "/":
                store = self.rules.store
                return 200, pages.desk(store.all("payment_intent"), store.all("refund"), store.all("dispute"))
        return 404, pages.closed("There is nothing here.")

    def _pay_page(self, method: str, session: Thing, asked: Thing) -> tuple[int, str]:
        if session["status"] != "open":
            return 200, pages.closed("This page is closed.", session.get("cancel_url") or "")
        if method == "GET":
            return 200, pages.checkout(session)
        kind = asked.get("kind", "card")
        number = re.sub(r"\D", "", asked.get("number", ""))
        if kind in {"us_bank_account", "sepa_debit"}:
            number = re.sub(r"\s", "", asked.get("account", ""))
        wallet = "apple_pay" if kind == "wallet" else ""
        used = self.rules.new_method(
            "card" if wallet else kind, number=number, expiry=asked.get("expiry", ""), wallet=wallet
        )
        try:
            session = self.rules.pay(session, used)
        except Wrong as wrong:
            return 200, pages.checkout(session, str(wrong.error.get("message")))
        intent = self.rules.store.get(session.get("payment_intent") or "")
        if intent is not None and intent["status"] == "requires_action":
            return 303, intent["next_action"]["redirect_to_url"]["url"]
        return 303, session["success_url"].replace("{CHECKOUT_SESSION_ID}", session["id"])

    def _bank_page(self, method: str, intent: Thing, asked: Thing) -> tuple[int, str]:
        session = self.rules.store.get(intent.get("_session") or "")
        back = session["success_url"] if session else intent.get("_return") or "/"
        if intent["status"] != "requires_action":
            return 303, back
        if method == "GET":
            return 200, pages.bank(intent)
        yes = asked.get("answer") == "yes"
        self.rules.answer_bank(intent, yes=yes)
        if not yes and session is not None:
            return 200, pages.checkout(session, "The bank could not confirm that it was you.")
        return 303, back

    # --- The control ---------------------------------------------------------------------------------------------

    def control(self, path: str, asked: Thing) -> tuple[int, Thing]:  # noqa: PLR0911 - as above.
        """The provider's, the bank's and the card owner's part, and the fault script."""
        rules = self.rules
        with rules.store.changing():
            try:
                if path == "/_control/faults":
                    self.script.replace(asked.get("faults", []))
                    return 200, {}
                if path == "/_control/webhooks":
                    self.webhooks.copies = int(asked.get("copies", 1))
                    self.webhooks.reverse = bool(asked.get("reverse", False))
                    self.webhooks.paused = bool(asked.get("paused", False))
                    return 200, {}
                if path == "/_control/charges":
                    return 200, {"data": [public(charge) for charge in rules.store.all("charge")]}
                found = re.fullmatch(r"/_control/([a-z-]+)/(\w+)", path)
                if found is None:
                    return 404, {"error": "There is no such control."}
                return 200, self._act(found[1], found[2])
            except Wrong as wrong:
                return wrong.status, {"error": wrong.error}
            except (KeyError, TypeError, ValueError) as error:
                return 400, {"error": str(error)}

    def _act(self, what: str, id: str) -> Thing:  # noqa: PLR0911 - as above.
        rules = self.rules
        if what == "resend":
            self.webhooks.resend(rules.find(id, "event")["id"])
            return {}
        if what in {"settle", "fail"}:
            intent = rules.find(id, "payment_intent")
            refused = rules.method(intent["payment_method"]).get("_number") == DEBIT_FAILS
            return public(rules.settle(intent, well=what == "settle" and not refused))
        if what in {"settle-refund", "fail-refund"}:
            return public(rules.settle_refund(rules.find(id, "refund"), well=what == "settle-refund"))
        if what == "refund":
            return public(rules.refund({"payment_intent": id}))
        if what == "dispute":
            return public(rules.dispute(rules.find(id, "payment_intent")))
        if what in {"win", "lose"}:
            return public(rules.close_dispute(rules.find(id, "dispute"), won=what == "win"))
        if what == "pay-out":
            return public(rules.account.pay_out(id))
        if what == "expire":
            return public(rules.expire_session(rules.find(id, "checkout.session")))
        raise KeyError(what)
