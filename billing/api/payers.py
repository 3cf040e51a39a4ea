"""What requests about money in may hold."""

import re
from typing import Any
from urllib.parse import urlsplit

from rest_framework import serializers

from billing.api.codes import AssetField, CodeField, CurrencyField
from billing.api.fields import AmountField, MomentField, PatternField, StrictSerializer, TextField
from billing.models import AutoTopUp, Pack

_CODE = r"^[a-z][a-z0-9_-]*\Z"
CARD = "card"
"""The card that was kept last, where a payment method is to be named."""
COOLDOWN_MAX = 31 * 24 * 3600
COUNT_MAX = 10_000
_URL = re.compile(r"https?://[^\s/?#\\@]+([/?#][^\s\\]*)?\Z")


class UrlField(TextField):
    """Where a browser is sent back to: an http or https address."""

    default_error_messages = {"url": "An address is needed that begins with https:// or http://."}

    def to_internal_value(self, data: Any) -> str:
        text = super().to_internal_value(data)
        parts = urlsplit(text) if _URL.match(text) else None
        if parts is None or not parts.hostname:
            self.fail("url")
        return text


class PackField(CodeField):
    what = "pack"

    def find(self, code: str) -> Pack | None:
        return Pack.objects.select_related("asset", "currency").filter(code=code).first()


class TopUpCreate(StrictSerializer):
    """An ``amount``, in the wallet's currency unless another is named, or a ``pack``."""

    amount = AmountField(required=False)
    currency = CurrencyField(required=False)
    pack = PackField(required=False)
    payment_method = TextField(max_length=255, required=False, allow_null=True)
    save_payment_method = serializers.BooleanField(default=False)
    return_url = UrlField(max_length=2000, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "pack" in attrs and {"amount", "currency"} & attrs.keys():
            raise serializers.ValidationError(
                {"pack": "A pack has its own price: no amount and no currency beside it."}
            )
        if "pack" not in attrs and "amount" not in attrs:
            raise serializers.ValidationError(
                {"amount": serializers.ErrorDetail("Needed, unless a pack is named.", code="required")}
            )
        return attrs


class RefundCreate(StrictSerializer):
    amount = AmountField(required=False)
    reason = TextField(max_length=500, required=False, allow_blank=True)


class MethodAdd(StrictSerializer):
    return_url = UrlField(max_length=2000, required=False)


class PackCreate(StrictSerializer):
    code = PatternField(_CODE, max_length=64)
    name = TextField(max_length=100)
    asset = AssetField()
    amount = AmountField()
    price = AmountField()
    currency = CurrencyField()


class _OrderFields(StrictSerializer):
    amount = AmountField(required=False, allow_null=True)
    pack = PackField(required=False, allow_null=True)
    asset = AssetField(required=False)
    method = TextField(max_length=255, default=CARD)
    monthly_limit = AmountField(required=False, allow_null=True)
    count_limit = serializers.IntegerField(min_value=1, max_value=COUNT_MAX, required=False, allow_null=True)
    enabled = serializers.BooleanField(default=True)


class AutoTopUpPut(_OrderFields):
    """When it runs, what it buys (``amount``, or up to ``target``, or ``pack``), and within which limits."""

    event = serializers.ChoiceField(["wallet_balance_low"], default="wallet_balance_low")
    threshold = AmountField()
    action = serializers.ChoiceField(["auto_top_up"], default="auto_top_up")
    target = AmountField(required=False, allow_null=True)
    cooldown_seconds = serializers.IntegerField(min_value=0, max_value=COOLDOWN_MAX, default=60)


class ScheduledTopUpPut(_OrderFields):
    """How often from when on, what it buys (``amount`` or ``pack``), and within which limits."""

    every = serializers.ChoiceField(AutoTopUp.Every.choices)
    starts_at = MomentField(required=False)
