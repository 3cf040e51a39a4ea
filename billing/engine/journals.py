"""The files of a closed day: each form is a function from rows to bytes, the same bytes for the same rows.

``jsonl`` and ``csv`` have every line of the journal, exact. ``netsuite`` and ``sap`` have what a general ledger takes:
the day's sums by account and product in the currency's coins. Coins are cut from the running sum, so that over any
number of days what was exported is what the exact amounts come to.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from billing.engine.currencies import places
from billing.engine.money import EXACT, amount_string, round_half_even
from billing.engine.recognition import MEMO, MOVEMENTS
from billing.engine.spreadsheets import harmless

SAP_ITEMS_MAX = 998
"""An accounting document has 999 items at most; a sum's two stay together."""
SAP_CODE_MAX = 10
"""Characters of an account, a cost center and a profit center."""
NETSUITE_LINE_MAX = Decimal(9_999_999_999)
"""The most of a NetSuite journal line, which has ten digits before the point."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the journal with everything that a file says of it. ``amount`` is negative where it takes back."""

    number: int
    movement: str
    debit: str
    credit: str
    currency: str
    amount: Decimal
    customer: str
    asset: str
    units: Decimal | None
    product: str
    grant: str
    fee: str
    occurred_on: date
    entries: int


@dataclass(frozen=True, slots=True)
class Sum:
    """What the day's lines of a kind come to, and ``closing``: what all of that kind have come to, with these."""

    movement: str
    debit: str
    credit: str
    currency: str
    product: str
    occurred_on: date
    amount: Decimal
    closing: Decimal


@dataclass(frozen=True, slots=True)
class Heading:
    """Which day it is, and the chart of accounts (see ``services/revenue/chart.py``) that it was closed with."""

    date: date
    version: int
    chart: Mapping[str, Any]

    @property
    def reference(self) -> str:
        """What names the journal of the day in the other system, so that it is not taken in twice."""
        return f"ANTE-{self.date:%Y%m%d}-{self.version}"


def jsonl(heading: Heading, rows: Iterable[Row]) -> Iterator[bytes]:
    """One JSON object a line, keys in this order."""
    for row in rows:
        yield json_line(_members(heading, row))


def json_line(members: Mapping[str, Any]) -> bytes:
    """A JSON object on a line of its own, the same bytes for the same members."""
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def generic_csv(heading: Heading, rows: Iterable[Row]) -> Iterator[bytes]:
    """The same with a line of names at the top, RFC 4180."""
    empty = Row(0, "", "", "", "", Decimal(0), "", "", None, "", "", "", heading.date, 0)
    yield _csv_line(list(_members(heading, empty)))
    for row in rows:
        texts = {"customer": harmless(row.customer), "product": harmless(row.product)}
        shown = _members(heading, row) | texts
        yield _csv_line(
            [
                "" if value is None else str(value).lower() if value is True or value is False else value
                for value in shown.values()
            ]
        )


def netsuite(heading: Heading, sums: Iterable[Sum]) -> Iterator[bytes]:
    """The columns of NetSuite's CSV import of journal entries, one entry for each currency: two lines for each sum.

    A sum that no line can hold has two for each part that one can.
    """
    yield _csv_line(
        [
            *("External ID", "Date", "Subsidiary", "Currency", "Memo"),
            *("Account", "Debit", "Credit", "Line Memo", "Department", "Class"),
        ]
    )
    for sum_, amount in _in_coins(sums):
        head = [
            f"{heading.reference}-{sum_.currency.upper()}",
            f"{heading.date:%m/%d/%Y}",
            heading.chart.get("subsidiary", ""),
            sum_.currency.upper(),
            f"Ante, revenue of {heading.date:%Y-%m-%d}",
        ]
        sides = [side for part in _parts(amount) for side in _sides(sum_, part)]
        for account, debit, credit in sides:
            mapped = _mapped(heading.chart, account, sum_.product)
            tail = [_memo(heading, sum_), mapped["department"], mapped["class"]]
            yield _csv_line([*head, mapped["number"], debit, credit, *map(harmless, tail)])


def sap(heading: Heading, sums: Iterable[Sum]) -> Iterator[bytes]:
    """Journal entry items under SAP's names of the fields, one document for each currency: two items for each sum.

    A document takes no more than ``SAP_ITEMS_MAX``; what is beyond is in further ones, each of which balances.
    """
    yield _csv_line(
        [
            *("XBLNR", "BUKRS", "BLART", "BLDAT", "BUDAT", "WAERS", "BKTXT"),
            *("HKONT", "WRSOL", "WRHAB", "SGTXT", "KOSTL", "PRCTR"),
        ]
    )
    day = f"{heading.date:%Y%m%d}"
    items: dict[str, int] = {}
    for sum_, amount in _in_coins(sums):
        items[sum_.currency] = items.get(sum_.currency, 0) + 2
        document = (items[sum_.currency] - 1) // SAP_ITEMS_MAX + 1
        head = [
            # 16 characters: the document where it is not the first, the date, the version, the currency.
            f"{'ANTE' if document == 1 else f'AN{document:02d}'}{day}{heading.version}{sum_.currency.upper()}"[:16],
            heading.chart.get("company_code", ""),
            "SA",
            day,
            day,
            sum_.currency.upper(),
            f"Ante revenue {heading.date:%Y-%m-%d}",
        ]
        for account, debit, credit in _sides(sum_, amount):
            mapped = _mapped(heading.chart, account, sum_.product)
            tail = [_memo(heading, sum_)[:50], mapped["department"], mapped["class"]]
            yield _csv_line([*head, sap_account(mapped["number"]), debit, credit, *map(harmless, tail)])


def sap_account(number: str) -> str:
    """The number alone, where a name follows it: ``4000 Usage``."""
    first = number.partition(" ")[0]
    return first if first.isdigit() else number


OF_LINES: dict[str, Callable[[Heading, Iterable[Row]], Iterator[bytes]]] = {"jsonl": jsonl, "csv": generic_csv}
OF_SUMS: dict[str, Callable[[Heading, Iterable[Sum]], Iterator[bytes]]] = {"netsuite": netsuite, "sap": sap}
FORMATS = (*OF_LINES, *OF_SUMS)
PARQUET = "parquet"
"""Made from the same lines, and not among ``FORMATS``: its bytes depend on who writes them."""
CONTENT_TYPES = {
    "jsonl": "application/jsonl",
    PARQUET: "application/vnd.apache.parquet",
    **dict.fromkeys(("csv", "netsuite", "sap"), "text/csv; charset=utf-8"),
}
ENDINGS = {"jsonl": "jsonl", "csv": "csv", "netsuite": "netsuite.csv", "sap": "sap.csv", PARQUET: "parquet"}


def _members(heading: Heading, row: Row) -> dict[str, Any]:
    takes_back = row.amount < 0
    return {
        "date": heading.date.isoformat(),
        "version": heading.version,
        "number": row.number,
        "movement": row.movement,
        "debit": row.credit if takes_back else row.debit,
        "credit": row.debit if takes_back else row.credit,
        "currency": row.currency.upper(),
        "amount": amount_string(row.amount.copy_abs()),
        "memo": row.movement in MEMO,
        "occurred_on": row.occurred_on.isoformat(),
        "customer": row.customer,
        "product": row.product,
        "asset": row.asset,
        "units": None if row.units is None else amount_string(row.units),
        "grant": row.grant or None,
        "fee": row.fee or None,
        "entries": row.entries,
    }


def _in_coins(sums: Iterable[Sum]) -> Iterator[tuple[Sum, Decimal]]:
    """The sums of the journal in coins, where there are any, by currency."""
    for sum_ in sorted(sums, key=lambda each: each.currency):
        if sum_.movement in MEMO:
            continue
        coins = places(sum_.currency)
        before = round_half_even(EXACT.subtract(sum_.closing, sum_.amount), precision=coins)
        amount = EXACT.subtract(round_half_even(sum_.closing, precision=coins), before)
        if amount:
            yield sum_, amount


def _parts(amount: Decimal) -> Iterator[Decimal]:
    """The amount in parts that a NetSuite journal line can hold."""
    while abs(amount) > NETSUITE_LINE_MAX:
        part = NETSUITE_LINE_MAX.copy_sign(amount)
        amount = EXACT.subtract(amount, part)
        yield part
    yield amount


def _sides(sum_: Sum, amount: Decimal) -> Iterator[tuple[str, str, str]]:
    """Account, debit, credit: both sides of a sum, positive."""
    text = f"{amount.copy_abs():.{places(sum_.currency)}f}"
    debit, credit = (sum_.credit, sum_.debit) if amount < 0 else (sum_.debit, sum_.credit)
    yield debit, text, ""
    yield credit, "", text


def _mapped(chart: Mapping[str, Any], account: str, product: str) -> dict[str, str]:
    """The account's number, department and class: the product's own, or else those of all products."""
    own: Mapping[str, Mapping[str, str]] = chart.get("accounts", {}).get(account, {})
    found = own.get(product) or own.get("") or {}
    return {"number": found.get("number") or account, "department": "", "class": ""} | {
        name: found[name] for name in ("department", "class") if found.get(name)
    }


def _memo(heading: Heading, sum_: Sum) -> str:
    meaning = MOVEMENTS[sum_.movement][1].partition(":")[0]
    late = f", occurred {sum_.occurred_on:%Y-%m-%d}" if sum_.occurred_on != heading.date else ""
    return f"{meaning}{f', {sum_.product}' if sum_.product else ''}{late}"


def _csv_line(values: Iterable[Any]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(values)
    return out.getvalue().encode()
