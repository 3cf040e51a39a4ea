"""Ready-made meters: listed, and added all at once."""

from billing.models import Meter
from tests.billing.api.conftest import Api, cloud_event, problem
from tests.builders import Shop


def test_a_preset_is_listed_with_what_it_makes_of_an_example(api: Api, shop: Shop) -> None:
    presets = {preset["preset"]: preset for preset in api.get("/meter-presets").json()["data"]}

    assert presets["anthropic.messages"]["counts"]["cached_input_tokens"] == "1500"
    assert [meter["code"] for meter in presets["openai.chat"]["meters"]] == [
        "input_tokens",
        "cached_input_tokens",
        "output_tokens",
    ]


def test_all_meters_of_a_preset_are_added_and_count_what_a_provider_reports(api: Api, shop: Shop) -> None:
    made = api.post("/meters", {"preset": "openai.chat", "prefix": "oai_"})
    assert made.status_code == 201, made.content
    codes = [meter["code"] for meter in made.json()["data"]]
    prices = [
        {"meter": code, "asset": "usd", "model": "per_unit", "unit_amount": amount, "per": "1000"}
        for code, amount in zip(codes, ("1", "0.2", "10"), strict=True)
    ]
    plan = {"code": "oai", "name": "OpenAI", "currency": "USD", "prices": prices}
    assert api.post("/plans", plan).status_code == 201
    shop.customer(plan="oai", usd="10")
    example = next(p for p in api.get("/meter-presets").json()["data"] if p["preset"] == "openai.chat")["example"]

    answer = api.post("/events", cloud_event(data=example))

    assert answer.status_code == 201, answer.content
    assert answer.json()["cost"] == {"usd": "3.35"}


def test_a_preset_is_added_whole_or_not_at_all(api: Api, shop: Shop) -> None:
    shop.meter("output_tokens", "output_tokens")

    problem(api.post("/meters", {"preset": "openai.chat"}), 409, "already_exists")
    problem(api.post("/meters", {"preset": "crystal.ball"}), 400, "invalid_request", "preset")

    assert Meter.objects.count() == 1
