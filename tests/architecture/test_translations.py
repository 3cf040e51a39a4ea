"""Every text that customers see can be translated, and is, into every language that is offered."""

import ast
import re
from collections.abc import Iterator
from gettext import GNUTranslations
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from django.conf import settings
from django.utils.translation.template import templatize

ROOT = Path(settings.BASE_DIR)
TEMPLATES = sorted([*(ROOT / "templates" / "portal").rglob("*.html"), *(ROOT / "templates" / "mail").iterdir()])
MODULES = sorted(path for app in ("accounts", "billing", "portal") for path in (ROOT / app).rglob("*.py"))
LANGUAGES = [code for code, _ in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
FUNCTIONS = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "pgettext_lazy"}
SPOKEN = {"aria-label", "alt", "placeholder", "title"}
SAME_EVERYWHERE = re.compile(r"\b(?:Ante|CSV|Parquet|PDF|UTC|msg_)|/\w+")

_TAG = re.compile(r"{%.*?%}|{{.*?}}|{#.*?#}", re.S)
_BLOCK = re.compile(r"{%\s*blocktranslate.*?endblocktranslate\s*%}", re.S)
_UNSPOKEN = re.compile(r"<(script|style|pre|code)\b.*?</\1>", re.S)
_ELEMENT = re.compile(r"<(?:!doctype|[/a-zA-Z][^\s>]*)(?:[^>\"']|\"[^\"]*\"|'[^']*')*>", re.S)
_ATTRIBUTE = re.compile(r"([\w-]+)=\"([^\"]*)\"")
_WORD = re.compile(r"[A-Za-z]{2,}")


def spoken(template: str) -> Iterator[str]:
    """The texts of a template that are no tags of Django's: what nobody could translate."""
    plain = _TAG.sub("", _BLOCK.sub("", template))
    plain = _UNSPOKEN.sub("", plain)
    for element in _ELEMENT.findall(plain):
        yield from (value for name, value in _ATTRIBUTE.findall(element) if name in SPOKEN)
    yield from _ELEMENT.sub("\n", plain).split("\n")


def literals(template: str) -> list[str]:
    return [text for text in map(str.strip, spoken(template)) if _WORD.search(SAME_EVERYWHERE.sub("", text))]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_templates_hold_no_text_that_cannot_be_translated(path: Path) -> None:
    assert literals(path.read_text()) == []


def test_the_search_for_texts_finds_them() -> None:
    template = (
        '<p title="Left over">{{ a }}{% if b > 1 %} of {% endif %}<code>x.y</code>{% translate "Fine" %}</p>'
        "{% blocktranslate %}Fine {{ too }}{% endblocktranslate %}<b>PDF</b>"
    )
    assert literals(template) == ["Left over", "of"]


def messages() -> set[str]:
    """What the sources ask to be translated; of a plural the singular."""
    found = set()
    for path in TEMPLATES:
        found |= set(_calls(_as_calls(templatize(path.read_text())), str(path)))
    for path in MODULES:
        if "migrations" not in path.parts:
            found |= set(_calls(path.read_text(), str(path)))
    return found


def _as_calls(templatized: str) -> str:
    """What ``templatize`` makes of a template is made for a reader that forgives: only its calls are Python."""
    text = r"u?(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\"\"\".*?\"\"\")"
    pattern = rf"(?:\b(?:gettext|_)\(\s*{text}\s*\)|\b(?:pgettext|ngettext)\(\s*{text}\s*,\s*{text})"
    found = re.findall(pattern, templatized, re.S)
    return "\n".join(call if call.endswith(")") else f"{call})" for call in found)


def _calls(source: str, name: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source, name)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            said = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            if said and node.func.id in FUNCTIONS:
                yield said[1] if node.func.id == "pgettext_lazy" else said[0]
            elif said and node.func.id == "pgettext":
                yield said[1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated_with_its_places_kept(language: str) -> None:
    with (ROOT / "portal" / "locale" / language / "LC_MESSAGES" / "django.po").open("rb") as file:
        catalog = read_po(file, locale=language)
    known = {}
    for message in catalog:
        if message.id:
            assert not message.fuzzy, message.id
            known[message.id if isinstance(message.id, str) else message.id[0]] = message
    wanted = messages()
    assert len(wanted) > 1000
    assert sorted(wanted - known.keys()) == []
    assert sorted(known.keys() - wanted) == []
    for text, message in known.items():
        texts = [message.string] if isinstance(message.string, str) else list(message.string)
        assert all(texts), text
        for said in texts:
            assert _places(said) == _places(text), text


def _places(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)s|{\w+}", text))


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language: str) -> None:
    folder = ROOT / "portal" / "locale" / language / "LC_MESSAGES"
    with (folder / "django.po").open("rb") as file:
        catalog = read_po(file, locale=language)
    with (folder / "django.mo").open("rb") as file:
        compiled = GNUTranslations(file)
    for message in catalog:
        if not message.id:
            continue
        if not isinstance(message.id, str):
            for number, text in ((1, message.string[0]), (2, message.string[1])):
                assert compiled.ngettext(*message.id, number) == text
        elif message.context:
            assert compiled.pgettext(message.context, message.id) == message.string
        else:
            assert compiled.gettext(message.id) == message.string
