"""The question that is asked after every test would be answered."""

import pytest

from billing.models import Balance
from tests import books
from tests.builders import Shop


@pytest.mark.corrupts_books
def test_what_is_wrong_is_found_after_what_was_right(shop: Shop) -> None:
    customer = shop.customer(usd="10")
    books.check()

    Balance.objects.filter(customer=customer).update(available=11)

    with pytest.raises(AssertionError, match=r"The books are wrong: .*balance-entries"):
        books.check()
