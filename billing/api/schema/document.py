"""The OpenAPI document as it is served: made once by each process, for it is the same for everybody and takes long."""

import threading
from typing import Any

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.request import Request

_made: dict[str, str | bytes] = {}
_lock = threading.Lock()


class DocumentView(SpectacularAPIView):
    """In YAML or JSON, and nothing else that the address asks for: there is one version, in one language."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        renderer = request.accepted_renderer
        with _lock:
            if renderer.media_type not in _made:
                document = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
                _made[renderer.media_type] = renderer.render(document, renderer.media_type, {})
        return HttpResponse(
            _made[renderer.media_type],
            content_type=renderer.media_type,
            headers={"Content-Disposition": f'inline; filename="ante-api.{renderer.format}"'},
        )
