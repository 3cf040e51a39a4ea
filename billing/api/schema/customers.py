"""Operations below ``/customers``."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema

from billing.api import serializers
from billing.api.fields import MomentField
from billing.api.schema import shapes


class WalletAtShape(shapes.WalletShape):
    at = MomentField(required=False, help_text="The moment that was asked for.")


CREATE = extend_schema(
    operation_id="create_customer",
    summary="Add a customer",
    tags=["Customers"],
    request=serializers.CustomerCreate,
    responses={201: shapes.CustomerShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
LIST = extend_schema(
    operation_id="list_customers",
    summary="List customers",
    tags=["Customers"],
    responses={200: shapes.listed(shapes.CustomerShape)},
    parameters=shapes.CURSOR,
)
GET = extend_schema(
    operation_id="get_customer",
    summary="One customer",
    tags=["Customers"],
    responses={200: shapes.CustomerShape},
)
PATCH = extend_schema(
    operation_id="change_customer",
    summary="Change a customer",
    tags=["Customers"],
    request=serializers.CustomerChange,
    responses={200: shapes.CustomerShape},
)
WALLET = extend_schema(
    operation_id="get_wallet",
    summary="What the wallet holds, or held at a past moment",
    tags=["Wallets"],
    responses={200: WalletAtShape},
    parameters=[OpenApiParameter("at", OpenApiTypes.DATETIME, description="As it was then, from the ledger.")],
)
WALLET_PATCH = extend_schema(
    operation_id="change_wallet",
    summary="Set how far usage may take a balance below zero",
    tags=["Wallets"],
    request=serializers.OverdraftChange,
    responses={200: shapes.WalletShape},
)
GRANT = extend_schema(
    operation_id="create_grant",
    summary="Put value into the wallet",
    tags=["Wallets"],
    request=serializers.GrantCreate,
    responses={201: shapes.GrantShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
GRANTS = extend_schema(
    operation_id="list_grants",
    summary="List grants",
    tags=["Wallets"],
    responses={200: shapes.listed(shapes.GrantShape)},
    parameters=shapes.CURSOR,
)
GRANT_VOID = extend_schema(
    operation_id="void_grant",
    summary="Take back what is left of a grant",
    description="What is held goes out when it is given back. Nothing left to take back: 409 invalid_state.",
    tags=["Wallets"],
    request=serializers.GrantVoid,
    responses={200: shapes.GrantShape},
    parameters=[shapes.IDEMPOTENCY_KEY],
)
LEDGER = extend_schema(
    operation_id="get_statement",
    summary="The statement: every entry that touched the wallet",
    tags=["Wallets"],
    responses={200: shapes.listed(shapes.EntryShape)},
    parameters=[
        OpenApiParameter("asset", OpenApiTypes.STR),
        OpenApiParameter("kind", OpenApiTypes.STR),
        *shapes.FROM_TO,
        *shapes.CURSOR,
    ],
)
