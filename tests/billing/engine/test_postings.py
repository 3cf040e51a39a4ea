"""The posting templates speak the chart of accounts, and each has its place."""

from billing.engine.postings import TEMPLATES
from billing.models import Account, EntryKind, Grant


def test_every_template_is_stored_under_its_own_code() -> None:
    assert [template.code for template in TEMPLATES.values()] == list(TEMPLATES)
    assert all(len(code) <= 40 for code in TEMPLATES)


def test_every_posting_moves_between_two_accounts_of_the_chart() -> None:
    for template in TEMPLATES.values():
        for posting in template.postings.values():
            assert posting.debit in Account.values
            assert posting.credit in Account.values
            assert posting.debit != posting.credit
            assert posting.kind in EntryKind.values


def test_every_kind_of_grant_has_its_template_and_pays_debt_first() -> None:
    for kind in Grant.Kind.values:
        postings = TEMPLATES[f"grant.{kind}"].postings

        assert postings["value"].credit == "wallet_available"
        assert (postings["settlement"].debit, postings["settlement"].credit) == ("wallet_available", "receivable")
