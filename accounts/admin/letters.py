"""Letters that wait to be sent."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from accounts.admin.asking import Asking
from accounts.backoffice import ReadOnlyAdmin, actor_of, detail_action, labelled, row
from accounts.lists import MadeFilter
from accounts.models import OutgoingMail
from accounts.services import mail


@admin.register(OutgoingMail)
class LetterAdmin(Asking, ReadOnlyAdmin):
    """Letters about accounts that have not gone out. What they say is for their recipient alone."""

    list_display = ("subject", "recipient", "state", "attempts", "due_at", "last_error", "created_at")
    list_filter = (("created_at", MadeFilter),)
    search_fields = ("recipient", "subject")
    ordering = ("-id",)
    fields = ("subject", "recipient", "state", "attempts", "due_at", "last_error", "created_at")
    actions_detail = ("send_again",)

    def has_send_again_permission(self, request: HttpRequest, object_id: object = None) -> bool:
        return request.user.has_perm("accounts.change_outgoingmail")

    @detail_action(description="Send again", url_path="send-again", icon="send", permissions=["send_again"])
    def send_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A page that asks once more; confirmed, a worker sends it. Then it is gone from here, so back to the list."""
        letter = row(OutgoingMail, object_id)
        return self._asked(
            request,
            letter,
            "Send it again",
            "It goes to the same address. A link in it works only as long as the letter says.",
            lambda: mail.retry(actor=actor_of(request), message=letter),
            after=reverse("admin:accounts_outgoingmail_changelist"),
        )

    @labelled(description="State", label={"On its way": "info", "Given up": "danger"})
    def state(self, letter: OutgoingMail) -> str:
        return "Given up" if letter.given_up else "On its way"
