"""What is used, by what it is for: text, images, speech, each with its own sum, on invoices and statements."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from billing.engine.money import EXACT, ZERO, exact_sum
from billing.models import InvoiceLine, Meter
from billing.selectors.usage import usage


@dataclass(frozen=True, slots=True)
class Section:
    """Lines under one heading; under none (``name`` is empty) what belongs to no product: fees, discounts, the rest."""

    name: str
    lines: list[InvoiceLine] = field(default_factory=list)

    @property
    def subtotal(self) -> Decimal:
        """What its lines come to, in the invoice's currency."""
        return exact_sum(line.amount for line in self.lines)


def names() -> Mapping[str, str]:
    """The section of each meter that has one, by the meter's code. What a meter says never changes."""
    return dict(Meter.objects.exclude(section="").values_list("code", "section"))


def of_line(line: InvoiceLine, named: Mapping[str, str]) -> str:
    """The section that the line belongs to; empty where there is none."""
    return named.get(line.product, "") if line.kind == "usage" else ""


def of_lines(lines: Iterable[InvoiceLine]) -> list[Section]:
    """The lines in their order, those of a section together where its first one is; what has none comes last."""
    named = names()
    found: dict[str, Section] = {}
    for line in lines:
        name = of_line(line, named)
        found.setdefault(name, Section(name)).lines.append(line)
    return sorted(found.values(), key=lambda section: not section.name)


def used(customer_id: UUID, *, start: datetime, end: datetime) -> list[tuple[str, str, Decimal]]:
    """What usage of [``start``, ``end``) came to: section, asset and amount; what has no section comes last.

    Empty where no meter has a section.
    """
    named = names()
    if not named:
        return []
    found: dict[tuple[str, str], Decimal] = {}
    for row in usage.totals(customer_id=customer_id, start=start, end=end, group_by=("meter",)):
        key = (named.get(row.group[0] or "", ""), row.asset)
        found[key] = EXACT.add(found.get(key, ZERO), row.amount)
    return sorted(((*key, amount) for key, amount in found.items()), key=lambda one: (not one[0], *one[:2]))
