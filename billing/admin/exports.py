"""Files for the operator's own books and warehouse: what is there, what waits, and why."""

from django.contrib import admin
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from accounts.backoffice import ReadOnlyAdmin, labelled
from billing.admin import display
from billing.models import ExportFile


@admin.register(ExportFile)
class ExportFileAdmin(ReadOnlyAdmin):
    list_display = ("created", "name", "kind_shown", "state_shown", "rows", "size", "attempts", "last_error")
    list_display_links = ("name",)
    list_filter = (("state", ChoicesDropdownFilter), ("kind", ChoicesDropdownFilter))
    ordering = ("-id",)
    fields = (
        *("id", "name", "kind_shown", "format", "state_shown", "created", "delivered", "attempts", "due", "last_error"),
        *("rows", "size", "sha256", "day", "since", "until", "cluster"),
    )

    @admin.display(description="Planned")
    def created(self, file: ExportFile) -> SafeString:
        return display.moment(file.created_at)

    @admin.display(description="What")
    def kind_shown(self, file: ExportFile) -> str:
        return file.get_kind_display()

    @labelled(description="State", label={"Waiting": "info", "Failing": "danger", "Delivered": "success"})
    def state_shown(self, file: ExportFile) -> str:
        failing = file.state == ExportFile.State.WAITING and file.last_error
        return "Failing" if failing else file.get_state_display()

    @admin.display(description="Bytes")
    def size(self, file: ExportFile) -> str:
        return "–" if file.bytes is None else f"{file.bytes:,}"

    @admin.display(description="Next attempt")
    def due(self, file: ExportFile) -> SafeString | str:
        return display.moment(file.due_at) if file.state == ExportFile.State.WAITING else "–"

    @admin.display(description="Delivered")
    def delivered(self, file: ExportFile) -> SafeString:
        return display.moment(file.delivered_at)
