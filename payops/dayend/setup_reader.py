"""Reading a set-up file: YAML as plain text values, and fields that know their path in the file (docs/setup.md).

Nothing here knows what the values are for; that is `setup_file`. Every error names the path (`merchants[3].name`) and
what to write instead.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
from collections.abc import Collection, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import yaml
from django.utils.translation import gettext as _

from payops.core.errors import PayopsError
from payops.core.money import parse_amount
from payops.fees.engine import parse_rate

MAX_FILE_BYTES: Final[int] = 64 * 1024**2
_SHOWN: Final[int] = 60
_TIME: Final[re.Pattern[str]] = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)
_SWITCHES: Final[dict[str, bool]] = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
REQUIRED: Final[Any] = object()


class SetupError(PayopsError):
    """A set-up file that cannot be loaded; `path` is where in the file (empty: the file itself)."""

    def __init__(self, code: str, path: str, text: str, context: Mapping[str, Any] | None = None) -> None:
        super().__init__(code, f"{path}: {text}" if path else text, {**(context or {}), "path": path})
        self.path = path


# --- YAML -------------------------------------------------------------------------------------------------------------


class _TextLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which every plain value is text: 23:00 is no number of base 60, 0123 no octal, 0.0038 no binary float."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """A mapping; a key written twice is an error, because YAML would silently keep the last."""
        seen: dict[Any, int] = {}
        for key_node, _value in getattr(node, "value", ()):
            if key_node.tag == "tag:yaml.org,2002:merge" or not isinstance(key_node, yaml.ScalarNode):
                continue
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    None,
                    None,
                    f"key “{key_node.value}” is written twice (first in line {seen[key_node.value]})",
                    key_node.start_mark,
                )
            seen[key_node.value] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)


_TextLoader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_TextLoader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^(?:<<)$"), ["<"])


def read_setup(path: Path) -> Fields:
    """The file's top level. Raises SetupError 'setup.unreadable', 'setup.not_yaml' or 'setup.not_a_mapping'."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SetupError("setup.too_large", "", _("%(file)s is too large for a set-up file.") % {"file": path.name})
        content = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise SetupError(
            "setup.unreadable",
            "",
            _("%(file)s cannot be read: %(reason)s.") % {"file": path, "reason": error.strerror or error},
        ) from error
    except UnicodeDecodeError as error:
        raise SetupError(
            "setup.not_yaml",
            "",
            _("%(file)s is not UTF-8 text (byte %(at)d).") % {"file": path.name, "at": error.start},
        ) from error
    return parse_setup(content, path.name)


def parse_setup(content: str, name: str = "") -> Fields:
    """The top level of a set-up file's text."""
    try:
        value = yaml.load(content, Loader=_TextLoader)  # noqa: S506 -- a SafeLoader with fewer resolvers
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).split("\n", 1)[0]
        line = mark.line + 1 if mark else 0
        raise SetupError(
            "setup.not_yaml",
            "",
            _("%(file)s is not readable YAML, line %(line)d: %(reason)s.")
            % {"file": name, "line": line, "reason": reason},
            {"line": line},
        ) from error
    except RecursionError as error:
        raise SetupError("setup.not_yaml", "", _("%(file)s is nested too deeply.") % {"file": name}) from error
    if not isinstance(value, dict):
        raise SetupError(
            "setup.not_a_mapping",
            "",
            _("%(file)s must be a mapping with keys such as institution, channels, merchants.") % {"file": name},
        )
    return Fields(value, "")


# --- fields -----------------------------------------------------------------------------------------------------------


class Fields:
    """One mapping of the file with its path. An empty value counts as absent; `known` refuses everything else."""

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise SetupError("setup.not_a_mapping", path, _("a mapping (key: value) is expected here."))
        self._values = value
        self.path = path

    def at(self, key: str) -> str:
        """Path of one key."""
        return f"{self.path}.{key}" if self.path else key

    def error(self, key: str, error_code: str, text: str, /, **context: Any) -> SetupError:
        """An error at one key."""
        return SetupError(error_code, self.at(key) if key else self.path, text, context)

    def known(self, keys: Collection[str]) -> Fields:
        """Refuse keys that are not listed, proposing the nearest one."""
        for key in self._values:
            if key in keys:
                continue
            near = difflib.get_close_matches(str(key), keys, n=1, cutoff=0.5)
            hint = _("did you mean “%s”?") % near[0] if near else _("known here are: %s.") % ", ".join(sorted(keys))
            raise self.error(
                str(key),
                "setup.unknown_key",
                _("unknown key “%(key)s”; %(hint)s") % {"key": str(key)[:_SHOWN], "hint": hint},
                suggestion=near[0] if near else "",
            )
        return self

    def has(self, key: str) -> bool:
        """Whether the key is there with a value."""
        return self._values.get(key) is not None

    def raw(self, key: str) -> Any:
        """The value as YAML has it (text, list or mapping)."""
        return self._values.get(key)

    def _present(self, key: str, default: Any) -> str | None:
        value = self._values.get(key)
        if value is None or value == "":
            if default is REQUIRED:
                raise self.error(key, "setup.missing", _("“%s” is required.") % key)
            return None
        if not isinstance(value, str):
            raise self.error(key, "setup.not_a_value", _("a single value is expected here."))
        return value.strip()

    def text(self, key: str, default: Any = REQUIRED, *, limit: int = 200) -> Any:
        """Text of at most `limit` characters."""
        value = self._present(key, default)
        if value is None:
            return default
        if len(value) > limit:
            raise self.error(
                key,
                "setup.too_long",
                _("“%(value)s…” has %(length)d characters; at most %(limit)d fit.")
                % {"value": value[:20], "length": len(value), "limit": limit},
            )
        if "\x00" in value:
            raise self.error(key, "setup.bad_text", _("the text holds a zero byte."))
        return value

    def choice(self, key: str, choices: Collection[str], default: Any = REQUIRED) -> Any:
        """One of the listed words."""
        value = self._present(key, default)
        if value is None:
            return default
        if value not in choices:
            near = difflib.get_close_matches(value, choices, n=1)
            raise self.error(
                key,
                "setup.bad_choice",
                _("“%(value)s” is not one of %(choices)s.") % {"value": value[:_SHOWN], "choices": ", ".join(choices)},
                value=value[:_SHOWN],
                suggestion=near[0] if near else "",
            )
        return value

    def amount(self, key: str, currency: str, default: Any = REQUIRED) -> Any:
        """An amount in major units as minor units, not below zero."""
        value = self._present(key, default)
        if value is None:
            return default
        minor = self._call(key, parse_amount, value, currency)
        if minor < 0:
            raise self.error(key, "setup.negative", _("“%s” is below zero.") % value, value=value)
        return minor

    def rate(self, key: str, default: Any = REQUIRED) -> Decimal:
        """A rate: 0.0038 or 0.38%."""
        value = self._present(key, default)
        return default if value is None else self._call(key, parse_rate, value)

    def parsed(self, key: str, parse: Any, default: Any = REQUIRED) -> Any:
        """What `parse(text)` makes of the value; its PayopsError gets the path."""
        value = self._present(key, default)
        return default if value is None else self._call(key, parse, value)

    def _call(self, key: str, parse: Any, *arguments: Any) -> Any:
        try:
            return parse(*arguments)
        except PayopsError as error:
            raise self.error(key, error.code, str(error), **error.context) from error

    def integer(self, key: str, default: Any = REQUIRED, *, low: int = 0, high: int = 32_767) -> Any:
        """A whole number within bounds."""
        value = self._present(key, default)
        if value is None:
            return default
        if not re.fullmatch(r"\d{1,9}", value, re.ASCII) or not low <= int(value) <= high:
            raise self.error(
                key,
                "setup.bad_number",
                _("“%(value)s” is not a whole number from %(low)d to %(high)d.")
                % {"value": value[:_SHOWN], "low": low, "high": high},
                value=value[:_SHOWN],
            )
        return int(value)

    def date(self, key: str, default: Any = REQUIRED) -> Any:
        """A date such as 2026-11-20."""
        value = self._present(key, default)
        if value is None:
            return default
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            raise self.error(
                key,
                "setup.bad_date",
                _("“%s” is not a date. Write it like 2026-11-20.") % value[:_SHOWN],
                value=value[:_SHOWN],
            ) from None

    def time(self, key: str, default: Any = REQUIRED) -> Any:
        """A time of day; 24:00 is 00:00, the end of the day."""
        value = self._present(key, default)
        if value is None:
            return default
        match = _TIME.fullmatch(value)
        parts = [int(part or 0) for part in match.groups()] if match else [99, 0, 0]
        if parts == [24, 0, 0]:
            parts = [0, 0, 0]
        if parts[0] > 23 or parts[1] > 59 or parts[2] > 59:
            raise self.error(
                key,
                "setup.bad_time",
                _("“%s” is not a time of day. Write it like 23:00.") % value[:_SHOWN],
                value=value[:_SHOWN],
            )
        return dt.time(*parts)

    def flag(self, key: str, default: bool = False) -> bool:
        """true or false."""
        value = self._present(key, default)
        if value is None:
            return default
        if value.lower() not in _SWITCHES:
            raise self.error(
                key, "setup.bad_switch", _("“%s” is neither true nor false.") % value[:_SHOWN], value=value[:_SHOWN]
            )
        return _SWITCHES[value.lower()]

    def mapping(self, key: str) -> Fields | None:
        """A nested mapping, or None."""
        value = self._values.get(key)
        return None if value is None else Fields(value, self.at(key))

    def sequence(self, key: str) -> list[Any]:
        """A list, empty when absent."""
        value = self._values.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.error(key, "setup.not_a_list", _("a list (- …) is expected here."))
        return value

    def items(self, key: str, known: Collection[str]) -> Iterator[Fields]:
        """The mappings of a list, each with its path."""
        for index, value in enumerate(self.sequence(key)):
            yield Fields(value, f"{self.at(key)}[{index}]").known(known)
