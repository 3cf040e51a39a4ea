"""What a top-up costs and brings, before anybody pays: arithmetic on settings, packs and taxes."""

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from fractions import Fraction

from django.conf import settings
from django.utils import timezone

from billing.engine.currencies import payment_places, places
from billing.engine.money import EXACT, ZERO, amount_string, decimals, round_half_even
from billing.engine.taxes import Decision, on, within
from billing.errors import InvalidRequest
from billing.models import Asset, Customer, Pack
from billing.services.invoicing import taxes


@dataclass(frozen=True, slots=True)
class Quote:
    """``amount`` + ``fee`` + ``tax`` of ``currency`` is paid; ``credit`` and ``bonus`` of ``asset`` come in for it.

    ``tax_included``: what was asked for had the tax in it.
    """

    amount: Decimal
    currency: Asset
    fee: Decimal
    tax: Decimal
    asset: Asset
    credit: Decimal
    bonus: Decimal
    rate: Decimal | None = None
    pack: Pack | None = None
    tax_included: bool = False

    @property
    def total(self) -> Decimal:
        return EXACT.add(EXACT.add(self.amount, self.fee), self.tax)


def quote(*, customer: Customer, amount: Decimal, currency: Asset, decision: Decision | None = None) -> Quote:
    """For money of the wallet's own currency, or of one that the operator names a rate for.

    ``decision``: which tax it bears, for callers in a transaction, where nobody may be asked for it.
    Raises ``InvalidRequest`` for an amount that is finer than what is paid in the currency, below the least or above
    the most.
    """
    if amount <= 0:
        raise InvalidRequest.field("amount", "must be greater than zero")
    coins = payment_places(currency.pk)
    if decimals(amount) > coins:
        raise InvalidRequest.field("amount", f"can have at most {coins} decimals in {currency.pk.upper()}")
    rate = _rate(currency, customer.currency)
    credit = _exchanged(amount, rate, customer.currency)
    least, most = settings.TOP_UP_MIN, settings.TOP_UP_MAX
    if not least <= credit <= most:
        own = customer.currency_id.upper()
        span = f"from {amount_string(least)} to {amount_string(most)} {own}"
        raise InvalidRequest.field("amount", f"must be {span}")
    decision = decision or taxes.decide(customer, timezone.now())
    fee = _fee(amount, currency)
    amount, tax = _taxed(amount, fee, currency, decision)
    credit = _exchanged(amount, rate, customer.currency)
    return Quote(
        amount=amount,
        currency=currency,
        fee=fee,
        tax=tax,
        asset=customer.currency,
        credit=credit,
        bonus=_bonus(credit, customer.currency),
        rate=rate,
        tax_included=decision.included,
    )


def quote_pack(*, customer: Customer, pack: Pack, count: int = 1, decision: Decision | None = None) -> Quote:
    """For a pack, or several of it, at its price. ``decision`` as with ``quote``."""
    if not pack.active:
        raise InvalidRequest.field("pack", "is not sold any more")
    amount = EXACT.multiply(pack.price, Decimal(count))
    decision = decision or taxes.decide(customer, timezone.now())
    fee = _fee(amount, pack.currency)
    amount, tax = _taxed(amount, fee, pack.currency, decision)
    return Quote(
        amount=amount,
        currency=pack.currency,
        fee=fee,
        tax=tax,
        asset=pack.asset,
        credit=EXACT.multiply(pack.amount, Decimal(count)),
        bonus=ZERO,
        pack=pack,
        tax_included=decision.included,
    )


def quote_invoice(*, currency: Asset, due: Decimal, tax: Decimal) -> Quote:
    """For what is open of an invoice and of its tax. Where that is finer than a payment, a coin is paid for the rest,
    and what is beyond it comes into the wallet."""
    whole = EXACT.add(due, tax).quantize(Decimal(1).scaleb(-payment_places(currency.pk)), rounding=ROUND_CEILING)
    amount = EXACT.subtract(whole, tax)
    return Quote(amount, currency, ZERO, tax, currency, amount, ZERO)


def asked_for(credit: Decimal, currency: Asset, *, decision: Decision) -> Decimal:
    """The least amount, in whole coins, that brings ``credit`` into a wallet of that currency: more than that where
    the tax is in it. Bonuses come on top."""
    coins = payment_places(currency.pk)
    wanted = amount = Decimal(int(-(-Fraction(credit) * 10**coins // 1))).scaleb(-coins)
    # Of what is added, no more than that comes in: the least that is enough is reached and never passed.
    while (missing := EXACT.subtract(wanted, _taxed(amount, _fee(amount, currency), currency, decision)[0])) > 0:
        amount = EXACT.add(amount, missing)
    return amount


def currencies(customer: Customer) -> list[str]:
    """The codes of the currencies that the customer can pay in, their own first."""
    own = customer.currency_id
    others = {pair.lower().partition("_")[0] for pair in settings.TOP_UP_FX_RATES if pair.lower().endswith(f"_{own}")}
    return [own, *Asset.objects.filter(pk__in=others - {own}).order_by("pk").values_list("pk", flat=True)]


def currency(code: str) -> Asset:
    """The currency with this code, which ``currencies`` gave."""
    return Asset.objects.get(pk=code)


def bonuses() -> list[tuple[Decimal, Decimal]]:
    """(from this amount on, this share of it in addition), the smallest first."""
    return sorted((Decimal(least), Decimal(share)) for least, share in settings.TOP_UP_BONUSES.items())


def _rate(paid: Asset, own: Asset) -> Decimal | None:
    if paid.pk == own.pk:
        return None
    rate = settings.TOP_UP_FX_RATES.get(f"{paid.pk}_{own.pk}".upper())
    if rate is None:
        raise InvalidRequest.field(
            "currency", f"this wallet can be funded in {own.pk.upper()}, not in {paid.pk.upper()}"
        )
    return Decimal(rate)


def _exchanged(amount: Decimal, rate: Decimal | None, own: Asset) -> Decimal:
    return amount if rate is None else round_half_even(EXACT.multiply(amount, rate), precision=_places(own))


def _fee(amount: Decimal, currency: Asset) -> Decimal:
    fee = EXACT.add(EXACT.multiply(amount, settings.TOP_UP_FEE_RATE), settings.TOP_UP_FEE_FIXED)
    return round_half_even(fee, precision=payment_places(currency.pk))


def _taxed(amount: Decimal, fee: Decimal, currency: Asset, decision: Decision) -> tuple[Decimal, Decimal]:
    """What of the amount is left for the wallet, and the tax, which the fee bears as well."""
    asked = EXACT.add(amount, fee)
    if decision.included:
        tax = within(asked, decision, places=payment_places(currency.pk))
        return EXACT.subtract(amount, tax), tax
    return amount, on(asked, decision, places=payment_places(currency.pk))


def _bonus(credit: Decimal, asset: Asset) -> Decimal:
    share = next((share for least, share in reversed(bonuses()) if credit >= least), ZERO)
    return round_half_even(EXACT.multiply(credit, share), precision=_places(asset))


def _places(asset: Asset) -> int:
    """How many decimals of it come in: whole coins that the ledger can keep."""
    return min(places(asset.pk), asset.precision)
