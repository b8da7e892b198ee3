"""Results as a sequence of dataclasses that also becomes a table of Arrow or pandas."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints, overload

from vidsearch.errors import ModelUnavailable
from vidsearch.records import Box

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

T = TypeVar("T")


class Listing(Sequence[T], Generic[T]):
    """Dataclasses of one `kind`, in order, never changed.

    `kind` has fields of str, int, float, `Box` and tuples of str only: they become the columns of
    the table, so that one of no rows has the same columns.
    """

    def __init__(self, kind: type[T], items: Iterable[T]) -> None:
        self._kind = kind
        self._items = tuple(items)

    @overload
    def __getitem__(self, at: int) -> T: ...

    @overload
    def __getitem__(self, at: slice) -> Listing[T]: ...

    def __getitem__(self, at: int | slice) -> T | Listing[T]:
        if isinstance(at, slice):
            return Listing(self._kind, self._items[at])
        return self._items[at]

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Listing):
            return NotImplemented
        return self._kind is other._kind and self._items == other._items

    def __hash__(self) -> int:
        return hash((self._kind, self._items))

    def __repr__(self) -> str:
        return f"Listing of {len(self)} {self._kind.__name__}: {list(self._items)}"

    def to_arrow(self) -> pa.Table:
        """A table with a column for each field; a box is a list of x0, y0, x1, y1."""
        import pyarrow as pa

        hints = get_type_hints(self._kind)
        names = [field.name for field in dataclasses.fields(self._kind)]  # type: ignore[arg-type]
        kinds: dict[Any, pa.DataType] = {
            str: pa.string(),
            int: pa.int64(),
            float: pa.float64(),
            Box: pa.list_(pa.float64(), 4),
            tuple[str, ...]: pa.list_(pa.string()),
        }
        schema = pa.schema([(name, kinds[hints[name]]) for name in names])
        columns = [[getattr(item, name) for item in self._items] for name in names]
        return pa.table(dict(zip(names, columns, strict=True)), schema=schema)

    def to_pandas(self) -> pd.DataFrame:
        """The same as a frame of pandas; raises `ModelUnavailable` where that is not installed."""
        try:
            import pandas  # noqa: F401  # Arrow's own message would not say what to install
        except ImportError as error:
            raise ModelUnavailable(
                "pandas is not installed; install it with: pip install 'vidsearch[pandas]'"
            ) from error
        return self.to_arrow().to_pandas()
