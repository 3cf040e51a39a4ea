"""Packs: amounts of an asset at a price."""

from decimal import Decimal

from django.db import IntegrityError, transaction

from accounts.services import audit
from billing.engine.currencies import payment_places
from billing.engine.money import amount_string, decimals
from billing.errors import AlreadyExists, InvalidRequest
from billing.models import Asset, Pack


def create(
    *, actor: audit.Actor, code: str, name: str, asset: Asset, amount: Decimal, price: Decimal, currency: Asset
) -> Pack:
    """Put a pack up for sale. Raises ``InvalidRequest`` for what is not positive, or finer than asset or coin."""
    if amount <= 0 or decimals(amount) > asset.precision:
        raise InvalidRequest.field("amount", f"must be positive, with at most {asset.precision} decimals")
    if price <= 0 or decimals(price) > payment_places(currency.pk):
        raise InvalidRequest.field("price", f"must be positive, with at most {payment_places(currency.pk)} decimals")
    try:
        with transaction.atomic():
            pack = Pack.objects.create(code=code, name=name, asset=asset, amount=amount, price=price, currency=currency)
            audit.record(
                actor=actor,
                action="pack.created",
                object_type="pack",
                object_id=code,
                after={"asset": asset.pk, "amount": amount_string(amount), "price": amount_string(price)},
            )
    except IntegrityError as error:
        raise AlreadyExists(f"There is a pack {code} already.") from error
    return pack


def withdraw(*, actor: audit.Actor, pack: Pack) -> None:
    """Sell it no more. What was sold stays as it is."""
    with transaction.atomic():
        Pack.objects.filter(pk=pack.pk).update(active=False)
        audit.record(actor=actor, action="pack.withdrawn", object_type="pack", object_id=pack.code)
