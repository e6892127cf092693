"""``manage.py makemessages``: Django's own, with the habits of our catalogue as defaults (docs/languages.md)."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Final

from django.core.management.commands import makemessages

LOCALE: Final = "zh_Hans"
NOT_FOR_USERS: Final = ("var", "tests", "bench", "simulators", "docs", "deploy")


class Command(makemessages.Command):
    """Line numbers would change with every edit above a string, and a guessed translation looks like a real one."""

    help = "Bring locale/zh_Hans up to date with the strings of the source."
    msgmerge_options = [
        *(option for option in makemessages.Command.msgmerge_options if option != "--previous"),
        "--no-fuzzy-matching",
        "--sort-by-file",
    ]

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(locale=[LOCALE], add_location="file", no_obsolete=True, ignore_patterns=list(NOT_FOR_USERS))
