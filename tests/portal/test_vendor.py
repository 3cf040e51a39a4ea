"""What is served as a file: vendored parts unchanged, templates that the content security policy lets work."""

import hashlib
import re
from pathlib import Path

import pytest
from django.conf import settings

STATIC = Path(settings.BASE_DIR) / "static"
TEMPLATES = sorted((Path(settings.BASE_DIR) / "templates" / "portal").rglob("*.html"))
BUDGET = 300_000
"""Bytes of script and style, uncompressed, that a page of the portal may load."""


def recorded() -> list[tuple[str, str]]:
    lines = (STATIC / "vendor" / "VENDOR.md").read_text().splitlines()
    return [(m[1], m[2]) for line in lines if (m := re.search(r"\| `([^`]+)`.*\| `([0-9a-f]{64})` \|$", line))]


@pytest.mark.parametrize(("name", "expected"), recorded())
def test_a_vendored_file_is_the_one_recorded(name: str, expected: str) -> None:
    assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == expected


def test_every_vendored_file_is_recorded() -> None:
    names = {name for name, _ in recorded()}
    files = {str(path.relative_to(STATIC / "vendor")) for path in (STATIC / "vendor").rglob("*") if path.is_file()}
    assert {name for name in files if not name.endswith(("LICENSE", "VENDOR.md"))} <= names


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_template_has_what_the_policy_forbids(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"\sstyle\s*=", text)
    assert not re.search(r"\son[a-z]+\s*=\s*[\"']", text)
    assert not re.search(r"<script(?![^>]*\bsrc=)", text)
    assert "<style" not in text
    assert not re.search(r"(?:src|href)=[\"']https?:", text)


def test_every_icon_in_use_is_in_the_sprite() -> None:
    sprite = (STATIC / "img" / "icons.svg").read_text()
    used = {name for path in TEMPLATES for name in re.findall(r'{% icon "([a-z-]+)"', path.read_text())}
    assert {name for name in used if f'id="{name}"' not in sprite} == set()


def test_a_page_stays_within_its_weight() -> None:
    import django_htmx

    htmx = Path(django_htmx.__file__).parent / "static" / "django_htmx" / "htmx-2.min.js"
    own = [*(STATIC / "css").glob("*.css"), *(STATIC / "js").glob("*.js")]
    vendored = [path for path in (STATIC / "vendor").rglob("*") if path.suffix in {".css", ".js"}]
    assert sum(path.stat().st_size for path in [htmx, *own, *vendored]) < BUDGET
