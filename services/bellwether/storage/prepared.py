"""Statements that run for each decision: built and compiled once, then run by the driver with values by name."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Insert, Select, Table, Update, bindparam, insert
from sqlalchemy.dialects.sqlite import dialect

from bellwether.storage.store import Transaction


def given(name: str) -> BindParameter[Any]:
    """Return the place of a value that is given at each run."""
    # With a value of its own, because a statement with a list in it is written out with the values that it has.
    return bindparam(name, None, required=False)


class Prepared:
    """An SQLAlchemy Core statement as text, with `given` values."""

    def __init__(self, statement: Select[Any] | Update | Insert, columns: Sequence[str] | None = None) -> None:
        compiled = statement.compile(
            dialect=dialect(paramstyle="named"),
            column_keys=None if columns is None else list(columns),
            compile_kwargs={"render_postcompile": True},
        )
        self.text = str(compiled)
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        self._names = [column.name for column in statement.selected_columns] if isinstance(statement, Select) else []

    @classmethod
    def insert(cls, table: Table) -> Prepared:
        """Return the insertion of a row into a table that numbers its rows; None for a column that is not given."""
        columns = [column.name for column in table.columns if column.autoincrement is not True]
        prepared = cls(insert(table), columns)
        prepared._fixed = dict.fromkeys(columns)
        return prepared

    def run(self, tx: Transaction, values: Mapping[str, Any]) -> sqlite3.Cursor:
        """Run it with these values."""
        return tx.driver.execute(self.text, {**self._fixed, **values})

    def rows(self, tx: Transaction, values: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the rows of a query, by column."""
        names = self._names
        return [dict(zip(names, row, strict=True)) for row in self.run(tx, values).fetchall()]

    def first(self, tx: Transaction, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the first row of a query, by column; None without any."""
        row = self.run(tx, values).fetchone()
        return None if row is None else dict(zip(self._names, row, strict=True))
