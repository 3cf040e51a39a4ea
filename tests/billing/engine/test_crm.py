"""What a CRM is told."""

from typing import Any

import pytest

from billing.engine import crm
from billing.engine.webhooks import TYPES

AT = "2026-11-21T10:00:00Z"


def told(form: str, name: str, **changes: Any) -> dict[str, Any]:
    data = {"customer": "acme", **TYPES[name].example, **changes}
    return crm.shaped(form, message="msg_1", type=name, timestamp=AT, data=data)


def test_a_spike_has_account_percent_and_window() -> None:
    fields = told("salesforce", "usage.spike")

    assert fields["Signal__c"] == "usage.spike"
    assert fields["Account_External_Id__c"] == "acme"
    assert fields["Percent__c"] == "4622.2"  # 42.5 where 0.9 is usual.
    assert fields["Window__c"] == f"hour from {AT}"
    assert fields["Scope__c"] == "feature code-review"
    assert (fields["Message_Id__c"], fields["Occurred_At__c"]) == ("msg_1", AT)
    event = told("hubspot", "usage.spike")
    assert (event["eventName"], event["uuid"], event["occurredAt"]) == ("usage_spike", "msg_1", AT)
    assert (event["properties"]["account"], event["properties"]["percent"]) == ("acme", "4622.2")


def test_a_budget_a_commitment_and_a_balance() -> None:
    budget = told("hubspot", "budget.threshold_reached")["properties"]
    assert (budget["percent"], budget["window"]) == ("80.4", "month until 2026-12-01T00:00:00Z")
    commitment = told("hubspot", "commitment.threshold_reached")["properties"]
    assert (commitment["percent"], commitment["window"]) == ("81.2", "until 2026-12-01 00:00 UTC")
    balance = told("salesforce", "wallet.balance_low", share="0.2")
    assert (balance["Percent__c"], balance["Window__c"]) == ("20", AT)
    assert "Percent__c" not in told("salesforce", "wallet.depleted")
    assert "percent" not in told("hubspot", "usage.spike", usual="0")["properties"]


@pytest.mark.parametrize("form", ["salesforce", "hubspot"])
@pytest.mark.parametrize("name", sorted(TYPES))
def test_every_type_is_flat_and_text(form: str, name: str) -> None:
    fields = told(form, name)
    properties = fields.pop("properties", {})
    flat = {**fields, **properties}
    assert all(isinstance(value, str) and value for value in flat.values())


def test_the_standard_form_is_what_it_was() -> None:
    data = {"customer": "acme", **TYPES["usage.spike"].example}
    assert told("standard", "usage.spike") == {"type": "usage.spike", "timestamp": AT, "data": data}
