"""For Ray Data: a class for ``map_batches``. Ray distributes, restarts and writes; each image is billed once.

Nothing of what Ray does is written again here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from .batch.address import is_address
from .blocks import arun_block
from .client import AsyncLemon
from .errors import ConfigurationError

__all__ = ("Images",)


class Images:
    """Generates an image for each row of a dataset, durably and under one rate limit::

        ds = ray.data.read_parquet("s3://bucket/prompts/").map_batches(
            lemon_ext.ray.Images,
            fn_constructor_kwargs=dict(model="flux-pro", key="id", journal="postgresql://db/lemon?batch=shop"),
            compute=ray.data.ActorPoolStrategy(size=4),
            num_cpus=0.1,  # an actor waits for the network: leave the cores to reading and writing
            batch_size=2_000,
        )

    Out come the columns that went in, and the outcomes of `lemon_ext.blocks.arun_block`, whose arguments ``journal``,
    ``key``, ``prompt_column``, ``store``, ``deadline``, ``concurrency``, ``max_images``, ``budget`` and
    ``allow_unknown_price`` are. ``requests_per_minute`` is the limit of all actors together. ``model`` and further
    arguments, such as ``size="1024x1024"``, are for rows that have no such column. ``client`` holds further options of
    `AsyncLemon`. The key comes from LEMONDATA_API_KEY, which Ray's ``runtime_env`` can set in the actors. Raises
    ConfigurationError without the address of a database: a block that is run again would be paid twice.
    """

    def __init__(
        self,
        *,
        journal: str | None = None,
        key: str | None = None,
        prompt_column: str | None = None,
        store: str | os.PathLike[str] | None = None,
        requests_per_minute: float | None = 1000.0,
        deadline: float = 600.0,
        concurrency: int = 64,
        max_images: int | None = None,
        budget: str | float | Decimal | None = None,
        allow_unknown_price: bool = False,
        client: Mapping[str, Any] | None = None,
        **defaults: Any,
    ) -> None:
        if not is_address(journal):
            raise ConfigurationError(
                "Images needs a journal in a database: journal='postgresql://user@host/database?batch=NAME'. Ray runs "
                "a block again when an actor dies, and without one its images would be paid twice. Without a database, "
                "let one process send: docs/scale.md shows how (Without a database). Nothing was sent."
            )
        self._client = AsyncLemon(**{**(client or {}), "requests_per_minute": requests_per_minute})
        self._options: dict[str, Any] = {
            "journal": journal, "key": key, "prompt_column": prompt_column, "store": store, "deadline": deadline,
            "concurrency": concurrency, "max_images": max_images, "budget": budget,
            "allow_unknown_price": allow_unknown_price, "defaults": defaults, "client": self._client,
        }  # fmt: skip

    async def __call__(self, batch: Any) -> Any:
        """Work off one batch, in any of Ray's formats. Returns a table, the same kind of column from every batch."""
        import pyarrow as pa

        table = _table(batch)
        text, data = pa.string(), pa.large_binary()
        kinds = {"status": text, "task_id": text, "cost": text, "error": text}
        if self._options["store"] is None:
            kinds |= {"image": data, "more_images": pa.list_(data)}
        else:
            kinds |= {"path": text, "more_paths": pa.list_(text)}
        if taken := sorted(kinds.keys() & set(table.column_names)):
            raise ValueError(f"The columns {', '.join(taken)} are ours to add: rename them before. Nothing was sent.")
        outcomes = await arun_block(table.to_pylist(), **self._options)
        for name, kind in kinds.items():
            table = table.append_column(name, pa.array([outcome[name] for outcome in outcomes], type=kind))
        return table


def _table(batch: Any) -> Any:
    import pyarrow as pa

    if isinstance(batch, pa.Table):
        return batch
    from ray.data.block import BlockAccessor

    made = BlockAccessor.batch_to_block(batch)
    return BlockAccessor.for_block(made).to_arrow()
