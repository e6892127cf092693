"""Chinese is complete: what the source says, what the catalogue says, and what pages say (docs/languages.md)."""

from __future__ import annotations

import ast
import gettext
import io
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.test import Client
from django.utils import translation

from payops.accounts.chart import read_yaml
from payops.accounts.manual import template_get
from payops.accounts.rule_summaries import SEEDED_SUMMARIES
from payops.core.retelling import retold

ROOT = Path(settings.BASE_DIR)
CATALOGUE = ROOT / "locale" / "zh_Hans" / "LC_MESSAGES" / "django.po"
PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[sd]|%%")
CHINESE = re.compile(r"[㐀-鿿]")
WORDLESS = {"SHA-256", "%(day)s …"}
TRANSLATES = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext", "pgettext", "pgettext_lazy"}


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    """Every message of the catalogue but its header."""
    with CATALOGUE.open("rb") as stream:
        return [message for message in read_po(stream, locale="zh_Hans") if message.id]


def texts(value: str | tuple[str, ...]) -> tuple[str, ...]:
    """Singular and plural, or the one form there is."""
    return (value,) if isinstance(value, str) else tuple(value)


# --- the catalogue ----------------------------------------------------------------------------------------------------


def test_every_message_is_translated(messages):
    assert [message.id for message in messages if not all(texts(message.string))] == []


def test_no_translation_is_a_guess(messages):
    assert [message.id for message in messages if message.fuzzy] == []


def test_nothing_the_source_no_longer_says_is_kept():
    assert "\n#~" not in CATALOGUE.read_text(encoding="utf-8")


def test_translations_are_chinese(messages):
    english = {message.id for message in messages if not all(CHINESE.search(text) for text in texts(message.string))}
    assert english == WORDLESS


def test_translations_keep_every_placeholder(messages):
    """The plural of the source is the one compared: Chinese has one form, for every number."""
    wrong = [
        message.id
        for message in messages
        for text in texts(message.string)
        if Counter(PLACEHOLDER.findall(texts(message.id)[-1])) != Counter(PLACEHOLDER.findall(text))
    ]
    assert wrong == []


def test_unnamed_placeholders_keep_their_order(messages):
    """ "%s" and "%d" are filled in the order they stand in."""
    for message in messages:
        source = [each for each in PLACEHOLDER.findall(texts(message.id)[-1]) if "(" not in each]
        for text in texts(message.string):
            assert [each for each in PLACEHOLDER.findall(text) if "(" not in each] == source


def test_the_compiled_catalogue_is_the_written_one():
    """What runs is the .mo; a fresh machine has no gettext to make it with."""
    afresh = io.BytesIO()
    with CATALOGUE.open("rb") as stream:
        write_mo(afresh, read_po(stream, locale="zh_Hans"))
    afresh.seek(0)
    with CATALOGUE.with_suffix(".mo").open("rb") as stream:
        assert _by_id(read_mo(stream)) == _by_id(read_mo(afresh))


def _by_id(catalogue: Catalog) -> dict[tuple[Any, Any], Any]:
    return {(message.context, texts(message.id)): texts(message.string) for message in catalogue if message.id}


def test_python_reads_the_compiled_catalogue():
    with CATALOGUE.with_suffix(".mo").open("rb") as stream:
        assert gettext.GNUTranslations(stream).gettext("Log in") == "登录"


# --- the source -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("xgettext") is None, reason="gettext is not installed, so nothing can be extracted")
def test_the_catalogue_has_every_string_of_the_source(tmp_path, monkeypatch, settings):
    """`make messages` on a copy of the source finds and loses nothing."""
    for folder, pattern in (("payops", "*.py"), ("templates", "*.html"), ("locale", "*.po")):
        for source in (ROOT / folder).rglob(pattern):
            copy = tmp_path / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
    settings.LOCALE_PATHS = [tmp_path / "locale"]
    monkeypatch.chdir(tmp_path)
    call_command("makemessages", verbosity=0)
    with (tmp_path / CATALOGUE.relative_to(ROOT)).open("rb") as again, CATALOGUE.open("rb") as stored:
        # Versions of gettext wrap and flag differently; what counts is which messages there are.
        assert _by_id(read_po(again, locale="zh_Hans")) == _by_id(read_po(stored, locale="zh_Hans"))


def test_no_translated_text_hides_in_an_f_string():
    """Extraction does not look into f-strings, and does not see what is formatted before it is translated."""
    hidden = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for path in (ROOT / "payops").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for call in _hidden_calls(node)
    ]
    assert hidden == []


def _hidden_calls(node: ast.AST) -> Iterator[ast.Call]:
    if isinstance(node, ast.JoinedStr):
        yield from (each for each in ast.walk(node) if _translates(each))
    elif _translates(node) and any(isinstance(argument, ast.JoinedStr) for argument in node.args):
        yield node


def _translates(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TRANSLATES


BARE = re.compile(r"[A-Za-z]{2,}")
NAMES = {"payops", "CSV", "XLSX", "SHA"}
SPEAKS_BOTH = "500.html"
"""Shown when nothing works any more, languages included."""
NOT_WORDS = re.compile(
    r"{% comment.*?endcomment %}|{% blocktranslate.*?endblocktranslate %}|{#.*?#}"
    r"|<(script|style)\b.*?</\1>|<!doctype.*?>"
    r"|<span class=\"material-symbols-outlined\".*?</span>",
    re.DOTALL,
)
SHOWN_ATTRIBUTES = re.compile(r"\b(?:aria-label|title|placeholder|alt|data-label|data-confirm)=\"([^\"]*)\"")


@pytest.mark.parametrize(
    "path",
    sorted(path for path in (ROOT / "templates").rglob("*.html") if path.name != SPEAKS_BOTH),
    ids=lambda path: path.name,
)
def test_templates_hold_no_words_of_their_own(path):
    text = re.sub(r"{[%{].*?[%}]}", "", NOT_WORDS.sub("", path.read_text(encoding="utf-8")), flags=re.DOTALL)
    shown = SHOWN_ATTRIBUTES.findall(text) + re.split(r"<[^>]*>", text)
    assert {word for each in shown for word in BARE.findall(each)} <= NAMES


READ_BY_USERS = {
    "title", "label", "empty", "confirm", "lead", "form_button", "help_text", "verbose_name", "verbose_name_plural",
    "empty_label",
}  # fmt: skip
FIRST_ARGUMENT_IS_READ = {"Column", "Button", "ValidationError", "Http404", "PermissionDenied"}


def test_what_users_read_is_marked_for_translation():
    """A plain text where a heading, a label or a refusal goes. The API's description is English and for programmers."""
    plain = [
        f"{path.relative_to(ROOT)}:{text.lineno} {text.value}"
        for path in (ROOT / "payops").rglob("*.py")
        if not {"migrations", "management", "api"} & set(path.parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for text in _read_arguments(node)
        if isinstance(text, ast.Constant) and isinstance(text.value, str) and set(BARE.findall(text.value)) - NAMES
    ]
    assert plain == []


def _read_arguments(call: ast.Call) -> Iterator[ast.expr]:
    yield from (each.value for each in call.keywords if each.arg in READ_BY_USERS)
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    if name in FIRST_ARGUMENT_IS_READ:
        yield from call.args[:1]
    elif name == "PayopsError":
        yield from call.args[1:2]


# --- fixtures ---------------------------------------------------------------------------------------------------------


def test_every_rule_we_ship_says_in_chinese_what_it_is_for():
    """Extraction does not read fixtures: their sentences stand in `rule_summaries` too, or are labels of events."""
    rules = read_yaml(ROOT / "fixtures" / "posting_rules.yaml")
    with translation.override("zh-hans"):
        assert [rule["summary"] for rule in rules if not CHINESE.search(retold(rule["summary"]))] == []
    assert set(SEEDED_SUMMARIES) <= {rule["summary"] for rule in rules}


@pytest.mark.parametrize("fixture", ["chart", "classification", "manual_templates"])
def test_what_fixtures_name_they_name_in_chinese(fixture):
    rows = read_yaml(ROOT / "fixtures" / f"{fixture}.yaml")
    english = [
        row
        for row in rows
        for name in ("name", "memo")
        if name in row and not CHINESE.search(row.get(f"{name}_zh", ""))
    ]
    assert english == []


@pytest.mark.parametrize(("language", "memo"), [("en", "Bank charge"), ("zh-hans", "银行手续费")])
def test_a_template_fills_in_its_memo_in_the_language_of_the_maker(language, memo):
    with translation.override(language):
        assert template_get("bank_charge").memo == memo


# --- the glossary -----------------------------------------------------------------------------------------------------


def glossary() -> list[tuple[str, str]]:
    """Models named in docs/glossary.md with the Chinese term it gives them."""
    rows = re.findall(r"^\|[^|]+\|([^|]+)\|[^|]*`(\w+\.\w+)`[^|]*\|", _glossary_text(), re.MULTILINE)
    return [
        (label, chinese.strip())
        for chinese, label in rows
        if label.partition(".")[0] in apps.app_configs and label.partition(".")[2][0].isupper()
    ]


def _glossary_text() -> str:
    return (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("label", "chinese"), glossary())
def test_a_model_is_called_what_the_glossary_calls_it(label, chinese):
    with translation.override("zh-hans"):
        assert str(apps.get_model(label)._meta.verbose_name) in chinese.split(", ")


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
class TestTheDoor:
    """The login page, where nobody is known yet."""

    @pytest.mark.parametrize("accepted", ["zh-CN", "zh", "zh-Hans-CN,en;q=0.5", "zh-SG,zh;q=0.9,en;q=0.8"])
    def test_speaks_chinese_to_a_chinese_browser(self, accepted):
        page = Client(HTTP_ACCEPT_LANGUAGE=accepted).get("/accounts/login/").content.decode()
        assert "登录" in page
        assert "用户名" in page

    @pytest.mark.parametrize("accepted", ["", "en", "fr-FR", "nonsense;;q=x"])
    def test_speaks_english_to_every_other(self, accepted):
        assert "Log in" in Client(HTTP_ACCEPT_LANGUAGE=accepted).get("/accounts/login/").content.decode()

    def test_switches_against_the_browser(self):
        client = Client(HTTP_ACCEPT_LANGUAGE="en")
        client.post("/i18n/setlang/", {"language": "zh-hans", "next": "/accounts/login/"})
        assert "登录" in client.get("/accounts/login/").content.decode()
        client.post("/i18n/setlang/", {"language": "en", "next": "/accounts/login/"})
        assert "Log in" in client.get("/accounts/login/").content.decode()

    def test_refuses_in_chinese(self, alice):
        client = Client(HTTP_ACCEPT_LANGUAGE="zh-CN")
        wrong = client.post("/accounts/login/", {"username": "alice", "password": "no"}).content.decode()
        assert "区分大小写" in wrong

    def test_keeps_the_chosen_language_after_login(self, client_for, mei):
        client = client_for(mei)
        client.cookies[settings.LANGUAGE_COOKIE_NAME] = "zh-hans"
        assert "未找到" in client.get("/portal/statements/999/").content.decode()
