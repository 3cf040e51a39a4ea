"""Paper: PDF made from a template by typst, in this process. No network, no other program."""

import json
from collections.abc import Mapping
from typing import Any

import typst
from django.conf import settings

_TEMPLATES = settings.BASE_DIR / "templates" / "documents"


def pdf(template: str, data: Mapping[str, Any], *, carries: bool = False) -> bytes:
    """The document of ``templates/documents/<template>.typ`` with this data, which it reads as JSON. Texts stay texts:
    nothing in them is run. ``carries``: as PDF/A-3, which other files can be put into."""
    made = typst.compile(
        str(_TEMPLATES / f"{template}.typ"),
        root=str(_TEMPLATES),
        sys_inputs={"data": json.dumps(data)},
        ignore_system_fonts=True,
        pdf_standards=["a-3b"] if carries else [],
    )
    assert isinstance(made, bytes)
    return made
