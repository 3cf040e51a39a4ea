"""What requests about money in may hold."""

import re
from typing import Any
from urllib.parse import urlsplit

from rest_framework import serializers

from billing.api.codes import AssetField, CodeField, CurrencyField
from billing.api.fields import AmountField, PatternField, StrictSerializer, TextField
from billing.models import Pack

_CODE = r"^[a-z][a-z0-9_-]*\Z"
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
