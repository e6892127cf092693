"""An index over a 64-bit digest of a text key: for columns of millions of long numbers that are only looked up whole.

Channels' numbers begin alike, so sorting them for an index compares nearly every character; their digests sort as
integers, which halves the time and the size. A look-up asks for digest and text, so two keys of one digest never mix.
"""

from __future__ import annotations

from typing import Any, Final

from django.db import models
from django.db.models.lookups import Exact, In


class KeyDigest(models.Func):
    """PostgreSQL's 64-bit hash of a text."""

    function = "hashtextextended"
    template = "%(function)s(%(expressions)s, 0)"
    output_field = models.BigIntegerField()


class KeyField(models.CharField):
    """A text key whose index is over its `KeyDigest`; `exact` and `in` use it."""


_TEXT: Final = models.CharField()


def _digest(value: Any, compiler: Any) -> tuple[str, list[Any]]:
    text = value if hasattr(value, "resolve_expression") else models.Value(value, output_field=_TEXT)
    sql, params = compiler.compile(KeyDigest(text))
    return sql, list(params)


@KeyField.register_lookup
class KeyExact(Exact):
    """One key."""

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        """Digest and text."""
        plain, params = super().as_sql(compiler, connection)
        ours, our_params = _digest(self.lhs, compiler)
        wanted, wanted_params = _digest(self.rhs, compiler)
        return f"({ours} = {wanted} AND {plain})", [*our_params, *wanted_params, *params]


@KeyField.register_lookup
class KeyIn(In):
    """One of several keys; a subquery is compared by the text alone."""

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        """Digests and texts."""
        plain, params = super().as_sql(compiler, connection)
        if not self.rhs_is_direct_value():
            return plain, list(params)
        ours, our_params = _digest(self.lhs, compiler)
        wanted = [_digest(value, compiler) for value in self.rhs if value is not None]
        digests = ", ".join(sql for sql, _params in wanted)
        values = [value for _sql, each in wanted for value in each]
        return f"({ours} IN ({digests}) AND {plain})", [*our_params, *values, *params]
