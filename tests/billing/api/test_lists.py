"""Lists: newest first, by cursor, complete while rows are being added."""

import pytest

from tests.billing.api.conftest import Api
from tests.builders import Shop


def walk(api: Api, path: str, limit: int) -> list[list[str]]:
    pages, cursor = [], ""
    while True:
        joint = "&" if "?" in path else "?"
        page = api.get(f"{path}{joint}limit={limit}{cursor}").json()
        pages.append([row.get("external_id") or row.get("code") or row["id"] for row in page["data"]])
        if page["next_cursor"] is None:
            return pages
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.parametrize(
    ("rows", "limit", "sizes"),
    [(0, 2, [0]), (1, 2, [1]), (2, 2, [2]), (3, 2, [2, 1]), (5, 2, [2, 2, 1]), (3, 200, [3])],
)
def test_the_pages_of_a_list_hold_every_row_once(api: Api, shop: Shop, rows: int, limit: int, sizes: list[int]) -> None:
    for number in range(rows):
        shop.customer(f"c{number}", plan=None)

    pages = walk(api, "/customers", limit)

    assert [len(page) for page in pages] == sizes
    assert [name for page in pages for name in page] == [f"c{number}" for number in reversed(range(rows))]


def test_rows_that_come_meanwhile_move_nothing(api: Api, shop: Shop) -> None:
    for number in range(4):
        shop.customer(f"c{number}", plan=None)
    first = api.get("/customers?limit=2").json()
    shop.customer("late", plan=None)

    second = api.get(f"/customers?limit=2&cursor={first['next_cursor']}").json()

    assert [row["external_id"] for row in first["data"] + second["data"]] == ["c3", "c2", "c1", "c0"]


def test_every_list_has_pages(api: Api, shop: Shop) -> None:
    acme = shop.customer(usd="100")
    shop.fund(acme, "5")
    shop.customer("globex")
    shop.plan("other", [shop.price(shop.meter("m", "m"), "1")])
    for number in range(3):
        shop.record(acme, id=f"e{number}", input_tokens=1)

    for path in (
        "/customers",
        "/customers/acme/grants",
        "/customers/acme/ledger",
        "/meters",
        "/plans",
        "/subscriptions",
        "/events",
        "/events?customer=acme&status=charged",
    ):
        one_by_one = walk(api, path, 1)
        assert [len(page) for page in one_by_one] == [1] * len(one_by_one), path
        assert [row for page in one_by_one for row in page] == walk(api, path, 200)[0], path
        assert len(one_by_one) >= 2, path


def test_a_page_has_50_rows_where_nothing_is_said(api: Api, shop: Shop) -> None:
    for number in range(51):
        shop.customer(f"c{number}", plan=None)

    page = api.get("/customers").json()

    assert len(page["data"]) == 50
    assert page["next_cursor"]
