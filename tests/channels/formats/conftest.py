"""Refusals are compared in the language they are written in, whatever a page shown before was in."""

import pytest
from django.utils import translation


@pytest.fixture(autouse=True)
def english():
    with translation.override("en"):
        yield
