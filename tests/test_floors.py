"""The floors: relations point down as imports do. import-linter does not see a foreign key given as a string."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings

from payops.config.settings.apps import PAYOPS_APPS

FLOORS = [name.removeprefix("payops.") for name in PAYOPS_APPS]
TOP = {"console", "portal", "api"}


def floor(label: str) -> int:
    """Height of an app; the three on top stand side by side."""
    return FLOORS.index("console") if label in TOP else FLOORS.index(label)


def relations() -> list[tuple[str, str, str]]:
    """Every forward relation between two of our apps: (app, field, app it points to)."""
    found = []
    for model in apps.get_models():
        source = model._meta.app_label
        if source not in FLOORS:
            continue
        for field in model._meta.get_fields():
            forward = field.is_relation and not field.auto_created and field.related_model is not None
            if forward and field.related_model._meta.app_label in FLOORS:
                found.append((source, f"{model.__name__}.{field.name}", field.related_model._meta.app_label))
    return found


def test_every_app_of_the_list_is_installed_under_its_short_label():
    assert {config.label for config in apps.get_app_configs() if config.name.startswith("payops.")} == set(FLOORS)


def test_every_package_is_a_floor():
    folders = {path.parent.name for path in Path(settings.BASE_DIR, "payops").glob("*/__init__.py")}
    assert folders == set(FLOORS) | {"config"}


def test_no_relation_points_upward():
    upward = [entry for entry in relations() if floor(entry[2]) > floor(entry[0])]
    assert upward == []


def test_the_three_apps_on_top_do_not_know_each_other():
    across = [entry for entry in relations() if {entry[0], entry[2]} <= TOP and entry[0] != entry[2]]
    assert across == []


@pytest.mark.slow
def test_no_import_points_upward():
    ran = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout
