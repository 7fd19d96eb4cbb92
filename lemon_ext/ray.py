"""For Ray Data: a class for ``map_batches``. Ray distributes, restarts and writes; each image is billed once.

Nothing of Ray's is imported here, so an actor needs no more than it has.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .blocks import arun_block
from .client import AsyncLemon

__all__ = ("Images",)


class Images:
    """Generates an image for each row of a dataset, durably and under one rate limit::

        ds = ray.data.read_parquet("s3://bucket/prompts/").map_batches(
            lemon_ext.ray.Images,
            fn_constructor_kwargs=dict(model="flux-pro", key="id", journal="postgresql://db/lemon?batch=shop"),
            compute=ray.data.ActorPoolStrategy(size=4),
            batch_size=2_000,
        )

    Out come the columns that went in, and the outcomes of `lemon_ext.blocks.arun_block`, whose arguments ``journal``,
    ``key``, ``prompt_column``, ``store``, ``deadline`` and ``concurrency`` are. ``requests_per_minute`` is the limit of
    all actors together. ``model`` and further arguments, such as ``size="1024x1024"``, are for rows that have no such
    column. ``client`` holds further options of `AsyncLemon`. The key comes from LEMONDATA_API_KEY, which Ray's
    ``runtime_env`` can set in the actors.
    """

    def __init__(
        self,
        *,
        journal: str,
        key: str | None = None,
        prompt_column: str | None = None,
        store: str | os.PathLike[str] | None = None,
        requests_per_minute: float | None = 1000.0,
        deadline: float = 600.0,
        concurrency: int = 64,
        client: Mapping[str, Any] | None = None,
        **defaults: Any,
    ) -> None:
        self._client = AsyncLemon(**{**(client or {}), "requests_per_minute": requests_per_minute})
        self._options: dict[str, Any] = {
            "journal": journal, "key": key, "prompt_column": prompt_column, "store": store, "deadline": deadline,
            "concurrency": concurrency, "defaults": defaults, "client": self._client,
        }  # fmt: skip

    async def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Work off one batch of rows, given and returned by columns."""
        columns = {name: list(cells) for name, cells in batch.items()}
        rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
        outcomes = await arun_block(rows, **self._options)
        ours = {name: [outcome[name] for outcome in outcomes] for name in (outcomes[0] if outcomes else ())}
        if taken := sorted(set(columns) & set(ours)):
            raise ValueError(f"The columns {', '.join(taken)} are ours to add: rename them before.")
        return {**batch, **ours}
