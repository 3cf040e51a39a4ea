"""The cost catalogue: set by hand, imported from lists, never overwritten, and noticed by every process."""

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.models import AuditEvent
from accounts.services.audit import SYSTEM
from billing.engine.cost_lists import Listed
from billing.engine.costs import BEGINNING
from billing.errors import AlreadyExists, InvalidRequest, InvalidState
from billing.models import CostVersion, ProviderCost
from billing.selectors.catalog import costs as selector
from billing.services.catalog import costs

NOW = timezone.now()


def set_cost(amount: str = "3", **fields: Any) -> ProviderCost:
    defaults: dict[str, Any] = {"provider": "OpenAI", "model": "GPT-4o", "unit": "input", "per": Decimal(1_000_000)}
    return costs.create(actor=SYSTEM, unit_cost=Decimal(amount), **(defaults | fields))


def listed(amount: str, model: str = "gpt-4o", **fields: Any) -> Listed:
    return Listed("openai", model, (), fields.pop("unit", "input"), Decimal(amount), **fields)


def import_list(*found: Listed) -> tuple[int, int, int]:
    done = costs.import_list(actor=SYSTEM, costs=found, source="a list")
    return done.added, done.changed, done.unchanged


def now_costs(moment: Any = None, model: str = "gpt-4o") -> Decimal | None:
    found = selector.current().cost({"model": model, "input_tokens": 1_000_000}, moment or timezone.now())
    return None if found is None else found.amount


def test_a_cost_set_by_hand_counts_at_once_and_leaves_a_line_in_the_trail(db: None):
    assert now_costs() is None
    cost = set_cost()
    assert (cost.provider, cost.model, cost.source) == ("openai", "gpt-4o", "manual")
    assert now_costs() == 3
    assert AuditEvent.objects.get(action="provider_cost.created").after["unit_cost"] == "3"


def test_a_later_cost_ends_the_one_before(db: None):
    first = set_cost("3", effective_from=NOW - timedelta(days=2))
    set_cost("4", effective_from=NOW - timedelta(days=1))
    first.refresh_from_db()
    assert first.effective_to == NOW - timedelta(days=1)
    assert [now_costs(NOW - timedelta(days=days)) for days in (3, 2, 1, 0)] == [None, 3, 4, 4]


def test_two_costs_at_one_time_are_refused_and_nothing_changes(db: None):
    first = set_cost("3", effective_from=NOW)
    for starts, ends in ((NOW, None), (NOW - timedelta(days=1), None), (NOW, NOW + timedelta(days=1))):
        with pytest.raises(AlreadyExists):
            set_cost("4", effective_from=starts, effective_to=ends)
    first.refresh_from_db()
    assert first.effective_to is None
    assert ProviderCost.objects.count() == 1
    set_cost("2", effective_from=NOW - timedelta(days=1), effective_to=NOW)
    set_cost("9", effective_from=NOW, above=200_000)
    set_cost("9", effective_from=NOW, unit="output")


def test_an_end_before_the_start_is_refused(db: None):
    with pytest.raises(InvalidRequest, match="effective_to"):
        set_cost(effective_from=NOW, effective_to=NOW)


def test_the_database_refuses_what_the_service_would(db: None):
    row = set_cost(effective_from=NOW)
    for change in (
        {"effective_from": NOW - timedelta(days=1)},
        {"effective_from": NOW, "effective_to": NOW - timedelta(days=1), "unit": "output"},
        {"unit": "wishes"},
        {"source": "guessed", "unit": "output"},
        {"unit": "output", "per": 0},
        {"unit": "output", "unit_cost": -1},
    ):
        fields = {name: getattr(row, name) for name in ("provider", "model", "unit", "unit_cost", "per", "source")}
        with pytest.raises(IntegrityError), transaction.atomic():
            ProviderCost.objects.create(**({"effective_from": NOW} | fields | change))


def test_a_cost_can_end_once(db: None):
    cost = set_cost(effective_from=NOW - timedelta(days=2))
    costs.end(actor=SYSTEM, cost=cost, at=NOW - timedelta(days=1))
    assert [now_costs(NOW - timedelta(hours=hours)) for hours in (25, 24)] == [3, None]
    with pytest.raises(InvalidState):
        costs.end(actor=SYSTEM, cost=cost)


def test_an_import_twice_changes_nothing_the_second_time(db: None):
    both = (listed("2.5"), listed("10", unit="output"))
    assert import_list(*both) == (2, 0, 0)
    before = list(ProviderCost.objects.values())
    assert import_list(*both) == (0, 0, 2)
    assert list(ProviderCost.objects.values()) == before
    assert AuditEvent.objects.filter(action="provider_costs.imported").count() == 1
    assert now_costs(BEGINNING) == Decimal("2.5")


def test_only_what_changed_makes_a_new_row_dated_today(db: None):
    import_list(listed("2.5"), listed("10", unit="output"))
    assert import_list(listed("2"), listed("10", unit="output"), listed("1", model="new")) == (1, 1, 1)
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    old, new = ProviderCost.objects.filter(unit="input", model="gpt-4o").order_by("effective_from")
    assert (old.effective_from, old.effective_to) == (BEGINNING, today)
    assert (new.effective_from, new.effective_to, new.unit_cost) == (today, None, 2)
    # Put right on the same day: the newer list is right about today.
    assert import_list(listed("1.5")) == (0, 1, 0)
    assert [now_costs(today - timedelta(seconds=1)), now_costs(today)] == [Decimal("2.5"), Decimal("1.5")]
    assert ProviderCost.objects.filter(unit="input", model="gpt-4o").count() == 2


def test_what_was_set_by_hand_wins_over_a_later_import(db: None):
    set_cost("7")
    import_list(listed("2.5"))
    assert now_costs() == 7
    assert now_costs(NOW - timedelta(days=30)) == Decimal("2.5")


def test_the_shipped_list_has_the_models_that_everybody_asks_for(db: None, capsys: Any):
    call_command("import_model_costs", "--shipped")
    call_command("import_model_costs", "--shipped", "--if-none")
    assert "genai-prices 0.2.3, 2026-11-21" in capsys.readouterr().out
    for model in (
        "gpt-4o-2024-08-06",
        "gpt-5-mini",
        "claude-sonnet-4-5-20250929",
        "gemini-2.5-flash",
        "claude-opus-4-5",
    ):
        assert now_costs(model=model), model
    assert now_costs(model="claude-sonnet-4-5") == 6  # A million tokens are a long prompt.


def test_a_file_of_the_other_form_is_imported(db: None, tmp_path: Path):
    file = tmp_path / "prices.json"
    file.write_text('{"gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 3e-06}}')
    call_command("import_model_costs", "--file", str(file))
    assert now_costs() == 3
    for content, why in (("[", "not JSON"), ('{"m": {}}', "litellm_provider")):
        file.write_text(content)
        with pytest.raises(CommandError, match=why):
            call_command("import_model_costs", "--file", str(file))
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_model_costs", "--file", str(tmp_path / "missing.json"))


def test_the_package_gives_the_same_list_as_the_shipped_one(db: None):
    pytest.importorskip("genai_prices")
    call_command("import_model_costs")
    assert now_costs(model="gpt-4o") == Decimal("2.5")


def test_overheads_follow_one_another(db: None):
    set_cost("10", effective_from=BEGINNING)
    costs.set_overhead(actor=SYSTEM, share=Decimal("0.1"), effective_from=NOW - timedelta(days=2))
    costs.set_overhead(actor=SYSTEM, fixed_amount=Decimal("0.5"), effective_from=NOW - timedelta(days=1))
    assert [now_costs(NOW - timedelta(days=days)) for days in (3, 2, 1)] == [10, 11, Decimal("10.5")]
    with pytest.raises(AlreadyExists):
        costs.set_overhead(actor=SYSTEM, effective_from=NOW - timedelta(days=3))


def test_a_process_learns_of_a_change_by_the_version(db: None, monkeypatch: pytest.MonkeyPatch):
    set_cost("3")
    kept = selector.catalogue()
    assert selector.check() is None, "it was loaded just now"
    monkeypatch.setattr(selector, "CHECKED_SECONDS", 0.0)
    unchanged = selector.check()
    assert unchanged is not None
    run(unchanged)
    selector.note(unchanged)
    assert selector.catalogue() is kept

    # Another process changes a cost: this one is not told.
    ProviderCost.objects.update(unit_cost=5)
    assert selector.catalogue() is kept
    CostVersion.objects.update(number=99)
    checked = selector.check()
    assert checked is not None
    run(checked)
    selector.note(checked)
    assert selector.cost({"model": "gpt-4o", "input_tokens": 1_000_000}, timezone.now()).amount == 5


def run(query: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(query.statement)
        query.rows = cursor.fetchall()


def test_two_who_set_the_same_cost_at_once_do_not_both(committed_db: None):
    outcomes: list[str] = []

    def attempt() -> None:
        try:
            set_cost("3", effective_from=NOW)
            outcomes.append("set")
        except AlreadyExists:
            outcomes.append("refused")
        finally:
            connection.close()

    together(attempt, 6)
    assert sorted(outcomes) == ["refused"] * 5 + ["set"]
    assert ProviderCost.objects.count() == 1


def together(what: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=what) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
