"""Operations below ``/customers``."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from billing.api import serializers
from billing.api.schema import shapes

CREATE = {
    "operation_id": "create_customer",
    "summary": "Add a customer",
    "tags": ["Customers"],
    "request": serializers.CustomerCreate,
    "responses": {201: shapes.CustomerShape},
    "parameters": [shapes.IDEMPOTENCY_KEY],
}
LIST = {
    "operation_id": "list_customers",
    "summary": "List customers",
    "tags": ["Customers"],
    "responses": {200: shapes.listed(shapes.CustomerShape)},
    "parameters": shapes.CURSOR,
}
GET = {
    "operation_id": "get_customer",
    "summary": "One customer",
    "tags": ["Customers"],
    "responses": {200: shapes.CustomerShape},
}
PATCH = {
    "operation_id": "change_customer",
    "summary": "Change a customer",
    "tags": ["Customers"],
    "request": serializers.CustomerChange,
    "responses": {200: shapes.CustomerShape},
}
WALLET = {
    "operation_id": "get_wallet",
    "summary": "What the wallet holds",
    "tags": ["Wallets"],
    "responses": {200: shapes.WalletShape},
}
WALLET_PATCH = {
    "operation_id": "change_wallet",
    "summary": "Set how far usage may take a balance below zero",
    "tags": ["Wallets"],
    "request": serializers.OverdraftChange,
    "responses": {200: shapes.WalletShape},
}
GRANT = {
    "operation_id": "create_grant",
    "summary": "Put value into the wallet",
    "tags": ["Wallets"],
    "request": serializers.GrantCreate,
    "responses": {201: shapes.GrantShape},
    "parameters": [shapes.IDEMPOTENCY_KEY],
}
GRANTS = {
    "operation_id": "list_grants",
    "summary": "List grants",
    "tags": ["Wallets"],
    "responses": {200: shapes.listed(shapes.GrantShape)},
    "parameters": shapes.CURSOR,
}
LEDGER = {
    "operation_id": "get_statement",
    "summary": "The statement: every entry that touched the wallet",
    "tags": ["Wallets"],
    "responses": {200: shapes.listed(shapes.EntryShape)},
    "parameters": [
        OpenApiParameter("asset", OpenApiTypes.STR),
        OpenApiParameter("kind", OpenApiTypes.STR),
        *shapes.FROM_TO,
        *shapes.CURSOR,
    ],
}
