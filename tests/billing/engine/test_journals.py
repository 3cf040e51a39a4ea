"""The files for general ledgers, held against what those who take them say of their fields."""

import csv
import io
from collections import defaultdict
from datetime import date
from decimal import Decimal

import pytest

from billing.engine.journals import SAP_ITEMS_MAX, Heading, Sum, netsuite, sap

D = Decimal
ON = date(2026, 11, 20)
CHART = {
    "accounts": {
        "usage": {"": {"number": "4000 Usage", "department": "AI", "class": "Cloud"}},
        "deferred_revenue": {"": {"number": "2300 Deferred revenue", "department": "", "class": ""}},
    },
    "subsidiary": "Ante Inc.",
    "company_code": "1710",
}
# CHAR fields of BKPF and BSEG, and the amounts: at most so many characters.
SAP_LENGTHS = {
    **{"XBLNR": 16, "BUKRS": 4, "BLART": 2, "BLDAT": 8, "BUDAT": 8, "WAERS": 5, "BKTXT": 25},
    **{"HKONT": 10, "WRSOL": 24, "WRHAB": 24, "SGTXT": 50, "KOSTL": 10, "PRCTR": 10},
}


def sums(count: int = 3, currency: str = "usd", amount: str = "12.345") -> list[Sum]:
    return [
        Sum("recognised", "deferred_revenue", "usage", currency, f"product-{n}", ON, D(amount), D(amount))
        for n in range(count)
    ]


def rows(pieces: object) -> list[dict[str, str]]:
    assert not isinstance(pieces, bytes)
    return list(csv.DictReader(io.StringIO(b"".join(pieces).decode())))  # type: ignore[call-overload]


def test_netsuite_takes_entries_that_balance_with_amounts_of_ten_and_two_digits() -> None:
    # More than a line can hold is in several: a day's usage of ten billion is not much in some currencies.
    large = [*sums(1, currency="eur", amount="9999999999.99"), *sums(1, currency="eur", amount="-34999999999.99")]
    found = rows(netsuite(Heading(ON, 1, CHART), [*sums(), *large]))

    assert list(found[0]) == [
        *("External ID", "Date", "Subsidiary", "Currency", "Memo"),
        *("Account", "Debit", "Credit", "Line Memo", "Department", "Class"),
    ]
    entries = defaultdict(list)
    for row in found:
        entries[row["External ID"]].append(row)
        assert bool(row["Debit"]) != bool(row["Credit"])
        whole, _, coins = (row["Debit"] or row["Credit"]).partition(".")
        assert len(whole) <= 10
        assert len(coins) == 2
    assert list(entries) == ["ANTE-20261120-1-EUR", "ANTE-20261120-1-USD"]
    euros = [row for row in found if row["Currency"] == "EUR"]
    assert sum(D(row["Debit"] or 0) for row in euros if row["Account"] == "4000 Usage") == D("34999999999.99")
    assert sum(D(row["Credit"] or 0) for row in euros if row["Account"] == "4000 Usage") == D("9999999999.99")
    for entry in entries.values():
        assert len(entry) >= 2
        assert sum(D(row["Debit"] or 0) - D(row["Credit"] or 0) for row in entry) == 0
        # What belongs to the entry is the same on each of its lines.
        assert len({(row["Date"], row["Subsidiary"], row["Currency"], row["Memo"]) for row in entry}) == 1
    assert found[-1] | {"Memo": "", "Line Memo": ""} == {
        **{"External ID": "ANTE-20261120-1-USD", "Date": "11/20/2026", "Subsidiary": "Ante Inc.", "Currency": "USD"},
        **{"Account": "4000 Usage", "Debit": "", "Credit": "12.34", "Department": "AI", "Class": "Cloud"},
        **{"Memo": "", "Line Memo": ""},
    }


@pytest.mark.parametrize("count", [3, 499, 500, 1200])
def test_sap_takes_fields_of_its_lengths_in_documents_of_999_items_that_balance(count: int) -> None:
    found = rows(sap(Heading(ON, 1, CHART), [*sums(count), *sums(2, currency="eur")]))

    documents = defaultdict(list)
    for row in found:
        documents[row["XBLNR"]].append(row)
        for name, length in SAP_LENGTHS.items():
            assert len(row[name]) <= length, (name, row[name])
    assert len(found) == 2 * count + 4
    assert len(documents) == 1 + -(-2 * count // SAP_ITEMS_MAX)
    for document in documents.values():
        assert 2 <= len(document) <= 999
        assert sum(D(row["WRSOL"] or 0) - D(row["WRHAB"] or 0) for row in document) == 0
        assert len({row["WAERS"] for row in document}) == 1
        assert {row["HKONT"] for row in document} == {"4000", "2300"}
        assert all(bool(row["WRSOL"]) != bool(row["WRHAB"]) for row in document)
        assert {row["BLDAT"] for row in document} == {row["BUDAT"] for row in document} == {"20261120"}


def test_yen_go_to_both_in_whole_coins() -> None:
    yen = sums(currency="jpy", amount="1234.5")

    assert {row["Debit"] or row["Credit"] for row in rows(netsuite(Heading(ON, 1, CHART), yen))} == {"1234"}
    assert {row["WRSOL"] or row["WRHAB"] for row in rows(sap(Heading(ON, 1, CHART), yen))} == {"1234"}
