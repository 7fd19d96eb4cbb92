"""Rows of a batch from a file, under the name the documentation uses. The work is `lemon_ext.batch.rows`'s."""

from .batch.rows import Fault as Fault
from .batch.rows import Format as Format
from .batch.rows import Row as Row
from .batch.rows import RowsError as RowsError
from .batch.rows import read_rows as read_rows

__all__ = ("Fault", "Format", "Row", "RowsError", "read_rows")
