"""The operator's account at the stand-in: what came in, what went out, and what is paid out to a bank."""

from billing.standin.store import Store, Thing


class Account:
    """A line for every movement, each in one payout at most."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def book(self, source: Thing, kind: str, amount: int, *, fee: int = 0) -> Thing:
        """``amount`` cents came in for ``source``, or went out where it is negative; ``fee`` of it was kept."""
        return self._store.add(
            "txn",
            "balance_transaction",
            type=kind,
            source=source["id"],
            amount=amount,
            fee=fee,
            net=amount - fee,
            currency=source["currency"],
            payout=None,
        )

    def pay_out(self, currency: str) -> Thing:
        """All that is there in the currency goes to the operator's bank."""
        lines = [
            line
            for line in self._store.all("balance_transaction")
            if line["currency"] == currency and line["payout"] is None
        ]
        payout = self._store.add(
            "po",
            "payout",
            amount=sum(line["net"] for line in lines),
            currency=currency,
            automatic=True,
            status="paid",
        )
        for line in [*lines, self.book(payout, "payout", -payout["amount"])]:
            self._store.save(line | {"payout": payout["id"]})
        return payout
