"""The institution of the orders tests behind the API."""

from __future__ import annotations

from tests.orders.conftest import load, world

__all__ = ["load", "world"]
