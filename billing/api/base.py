"""What the views share."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from billing.api import fields, json, problems
from billing.api.authentication import principal as who
from billing.errors import BillingError, FieldError, InvalidRequest, NotFound
from billing.services import idempotency
from billing.services.idempotency import Answer

PAGE = ("cursor", "limit")
WINDOW = ("from", "to")


class View(APIView):
    """An endpoint. ``scopes`` names the scope that each method asks for.

    ``parameters`` names what each method takes in the query string. Anything else there is refused: a filter with a
    slip of the pen in its name would otherwise answer with everybody's rows. ``encodings`` are those that a body may
    have beside none.
    """

    scopes: ClassVar[Mapping[str, str]] = {}
    parameters: ClassVar[Mapping[str, Collection[str]]] = {}
    encodings: ClassVar[Collection[str]] = ()
    http_method_names = ["get", "head", "post", "put", "patch", "delete"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        json.check_encoding(request.headers.get("Content-Encoding", ""), unpacked=self.encodings)
        if any("\x00" in str(part) for part in kwargs.values()):
            raise NotFound("There is no such thing here.")  # The database could not even be asked.
        method = "GET" if request.method == "HEAD" else request.method or ""
        known = {*self.parameters.get(method, ()), api_settings.URL_FORMAT_OVERRIDE}
        if unknown := sorted(request.query_params.keys() - known):
            raise InvalidRequest(
                f"Not a parameter of this address: {', '.join(unknown)[:200]}.",
                errors=[FieldError(name[:100] or "?", "unknown_parameter", "is not known here") for name in unknown],
            )

    def once(self, request: Request, run: Callable[[], Answer]) -> Response:
        """Answer ``run``; with an ``Idempotency-Key``, run it once and repeat its answer afterwards."""
        key = request.headers.get("Idempotency-Key")
        if key is None:
            answer = run()
        else:
            answer = idempotency.once(
                principal=str(who(request).organization_id or "operator"),
                key=key,
                fingerprint=idempotency.fingerprint(request.method or "", request.get_full_path(), request.data),
                run=run,
                refuse=lambda error: self._refusal(request, error),
            )
        return respond(answer)

    def phased(
        self,
        request: Request,
        *,
        before: Callable[[], object],
        prepare: Callable[[], str],
        finish: Callable[[str], Answer],
    ) -> Response:
        """The same for what asks somebody outside: see ``idempotency.phased``."""
        key = request.headers.get("Idempotency-Key")
        if key is None:
            before()
            return respond(finish(prepare()))
        answer = idempotency.phased(
            principal=str(who(request).organization_id or "operator"),
            key=key,
            fingerprint=idempotency.fingerprint(request.method or "", request.path, request.data),
            before=before,
            prepare=prepare,
            finish=finish,
            refuse=lambda error: self._refusal(request, error),
        )
        return respond(answer)

    def _refusal(self, request: Request, error: BillingError) -> Answer:
        return Answer(error.status, problems.body(error, request_id=getattr(request, "request_id", "")))


def respond(answer: Answer, headers: Mapping[str, str] | None = None) -> Response:
    """The HTTP answer, marked where it is a repeat."""
    response = Response(answer.body, status=answer.status, headers=dict(headers or {}))
    if answer.status >= 400:
        response.content_type = problems.CONTENT_TYPE
    if answer.replayed:
        response["Idempotent-Replayed"] = "true"
    return response


def moment(request: Request, name: str) -> datetime | None:
    """A time from the query string."""
    text = request.query_params.get(name)
    if not text:
        return None
    # A plus sign that was not escaped arrives as a space.
    found = fields.parse_moment(text.replace(" ", "+"))
    if found is None:
        raise InvalidRequest.field(name, "is not an RFC 3339 time with an offset")
    return found


def text(request: Request, name: str) -> str | None:
    """A short text from the query string; None where it is missing or empty."""
    value = request.query_params.get(name)
    if value and ("\x00" in value or len(value) > 255):
        raise InvalidRequest.field(name, "has a NUL in it or more than 255 characters")
    return value or None
