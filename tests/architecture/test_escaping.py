"""What calls a text safe to be part of a page as it is, which no text may be that somebody chose."""

import re

from tests.architecture.sources import APPS, ROOT

MARKS = re.compile(r"\|\s*safe(?:seq)?\b|\bautoescape\s+off\b|\bmark_safe\(|\bSafe(?:String|Text)\(|__html__")
LISTED = {
    "billing/admin/subscriptions.py": "a new line, between lines that are escaped",
    "portal/pages/factors.py": "a picture of our own making: what it says is drawn and not written",
    "portal/templatetags/portal_parts.py": "attributes of our own, whose texts are escaped",
    "templates/mail/notice.txt": "a text without markup",
}


def test_nothing_is_called_safe_that_is_not_listed() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in (*APPS, "templates")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".py", ".html", ".txt", ".svg", ".xml"} and MARKS.search(path.read_text(encoding="utf-8"))
    }

    assert found == LISTED.keys()
