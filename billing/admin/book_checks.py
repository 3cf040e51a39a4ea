"""Looks at the books: when, at what, and what differed."""

from django.contrib import admin
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from accounts.backoffice import ReadOnlyAdmin, labelled
from billing.admin import display
from billing.models import BookCheck
from billing.selectors.ledger.book_checks import CHECKS

TONES = {"ok": "ante-good", "wrong": "ante-bad", "skipped": "ante-info"}
WORDS = {"ok": "right", "wrong": "differs", "skipped": "at night"}


@admin.register(BookCheck)
class BookCheckAdmin(ReadOnlyAdmin):
    list_display = ("started", "looked_at", "state_shown", "wrong", "took", "first")
    list_display_links = ("started",)
    list_filter = (("state", ChoicesDropdownFilter), "full")
    ordering = ("-id",)
    fields = ("started", "looked_at", "state_shown", "took", "results_shown")

    @admin.display(description="Started")
    def started(self, check: BookCheck) -> SafeString:
        return display.moment(check.started_at)

    @admin.display(description="Looked at")
    def looked_at(self, check: BookCheck) -> str:
        return "Every row" if check.full else "What is quick"

    @labelled(
        description="State", label={"Right": "success", "Wrong": "danger", "Running": "info", "Did not end": "warning"}
    )
    def state_shown(self, check: BookCheck) -> str:
        return check.get_state_display()

    @admin.display(description="Took")
    def took(self, check: BookCheck) -> str:
        if check.finished_at is None:
            return display.NOTHING
        return f"{(check.finished_at - check.started_at).total_seconds():,.1f} s"

    @admin.display(description="First of what differs")
    def first(self, check: BookCheck) -> str:
        return next((words for result in check.results for words in result["found"]), display.NOTHING)

    @admin.display(description="Checks")
    def results_shown(self, check: BookCheck) -> SafeString:
        rows = (
            (
                TONES[result["state"]],
                WORDS[result["state"]],
                CHECKS[result["check"]].title if result["check"] in CHECKS else result["check"],
                format_html_join("", "<br>{}", ((words,) for words in result["found"])),
                f"{result['ms']:,} ms",
            )
            for result in check.results
        )
        return format_html_join(
            "",
            '<p><span class="ante-badge {}">{}</span> {}{} <span class="ante-none">{}</span></p>',
            rows,
        )
