"""Files for the operator's own books and warehouse: what is there, what waits, and why."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from accounts.backoffice import ReadOnlyAdmin, actor_of, detail_action, labelled
from billing.admin import confirm, display, lookup
from billing.models import ExportFile
from billing.services import exports


@admin.register(ExportFile)
class ExportFileAdmin(ReadOnlyAdmin):
    list_display = ("created", "file_name", "kind_shown", "state_shown", "rows", "size", "attempts", "last_error")
    list_display_links = ("file_name",)
    list_filter = (("state", ChoicesDropdownFilter), ("kind", ChoicesDropdownFilter))
    ordering = ("-id",)
    actions_detail = ("try_again",)
    fields = (
        *(
            "id",
            "file_name",
            "kind_shown",
            "format",
            "state_shown",
            "created",
            "delivered",
            "attempts",
            "due",
            "last_error",
        ),
        *("rows", "size", "sha256", "day", "since", "until", "cluster"),
    )

    def has_try_again_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("billing.change_exportfile")

    @detail_action(description="Try again now", url_path="try-again", icon="replay", permissions=["try_again"])
    def try_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        file = lookup.row(ExportFile, object_id)
        return confirm.view(
            self,
            request,
            obj=file,
            question="The worker is to try again what failed",
            figure=f"{file.attempts} attempts so far",
            lines=[("File", self.file_name(file)), ("What", file.get_kind_display()), ("Why", file.last_error or "–")],
            button="Try again now",
            run=lambda reason: exports.retry(actor=actor_of(request), file=file, reason=reason),
            done="The worker tries again within a minute.",
            note="The same file under the same name replaces itself.",
        )

    @admin.display(description="File")
    def file_name(self, file: ExportFile) -> SafeString:
        """Broken where it is longer than a phone is wide."""
        return format_html('<span class="ante-file">{}</span>', file.name)

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
