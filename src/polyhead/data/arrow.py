"""Rows of Arrow tables: Parquet files (library: pyarrow) and sets of the hub (datasets)."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyhead.data.columns import check_columns
from polyhead.errors import DataError, MissingExtraError
from polyhead.files import open_bytes

if TYPE_CHECKING:
    import pyarrow

ROWS = 8192  # read at a time


def parquet_cells(path: Path, wanted: list[str]) -> Iterator[tuple[int, Sequence[Any]]]:
    """(row from 1, wanted cells) of a Parquet file; only these columns are read from the disk."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError(f"reading {path.name}", "pyarrow", "tables") from None
    with open_bytes(path) as file:
        try:
            table = parquet.ParquetFile(file)
            _check(str(path), table.schema_arrow, wanted)
            batches = table.iter_batches(batch_size=ROWS, columns=list(dict.fromkeys(wanted)))
            yield from _cells(batches, wanted)
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{path}: cannot be read as Parquet ({error})") from None


def hub_cells(
    name: str, config: str | None, split: str, revision: str | None, wanted: list[str]
) -> Iterator[tuple[int, Sequence[Any]]]:
    """(row from 1, wanted cells) of a set of the hub, through the library's cache on disk."""
    try:
        import datasets
    except ImportError:
        raise MissingExtraError(f"reading {name} from the hub", "datasets", "hub") from None
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()
    where = f"hub {name}"
    try:
        found = datasets.load_dataset(name, config, split=split, revision=revision)
    except ConnectionError as error:
        raise DataError(
            f"{where}: the hub cannot be reached, and no copy is in the cache ({error}). Go online "
            "once, after which the cache serves; or fetch the set elsewhere and name its file with "
            "file:"
        ) from None
    except (ValueError, OSError, datasets.exceptions.DatasetsError) as error:
        raise DataError(f"{where}: {error}") from None
    _check(f"{where}, split {split}", found.data.schema, wanted)
    outer = list(dict.fromkeys(_outer(column, found.column_names) for column in wanted))
    batches = found.select_columns(outer).with_format("arrow").iter(batch_size=ROWS)
    yield from _cells(batches, wanted)


def _outer(column: str, names: Sequence[str]) -> str:
    return column if column in names else column.partition(".")[0]


def _check(where: str, schema: pyarrow.Schema, wanted: list[str]) -> None:
    """Raise DataError unless every wanted column, or `outer.inner`, is there."""
    check_columns(where, [n for field in schema for n in _names(field)], wanted)


def _names(field: pyarrow.Field) -> Iterator[str]:
    import pyarrow

    yield field.name
    if pyarrow.types.is_struct(field.type):
        for inner in field.type:
            yield from (f"{field.name}.{name}" for name in _names(inner))


def _cells(
    batches: Iterable[pyarrow.RecordBatch | pyarrow.Table], wanted: list[str]
) -> Iterator[tuple[int, Sequence[Any]]]:
    row = 0
    for batch in batches:
        for cells in zip(*(_column(batch, name).to_pylist() for name in wanted), strict=True):
            row += 1
            yield row, cells


def _column(batch: pyarrow.RecordBatch | pyarrow.Table, name: str) -> Any:
    import pyarrow.compute

    if name in batch.schema.names:
        return batch.column(name)
    outer, *inner = name.split(".")
    return pyarrow.compute.struct_field(batch.column(outer), inner)
