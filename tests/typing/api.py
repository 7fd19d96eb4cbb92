"""What a type checker knows of the API. Never run, only checked (tests/test_regen.py).

A line that must be refused carries an ignore with its code: strict mypy complains if it is not needed.
"""

from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import assert_type

from lemon_client.models import ImageGenerationRequest

from lemon_ext import (
    AsyncImageTask,
    AsyncLemon,
    Image,
    ImageResult,
    ImageTask,
    Lemon,
    ModelCapabilities,
    Reconciliation,
    Record,
    TaskError,
    Violation,
    apoll_until_done,
    poll_until_done,
    reconcile,
    violations,
)


def blocking(lemon: Lemon) -> None:
    result = lemon.images.generate("a cat", model="dall-e-3", n=2, size="1024x1024", quality=None, user="me")
    assert_type(result, ImageResult)
    assert_type(result[0], Image)
    assert_type(result.images[0].url, str | None)
    assert_type(result.save("out"), list[Path])
    assert_type(result[0].read(), bytes)

    task = lemon.images.submit("a cat", style="vivid")
    assert_type(task, ImageTask)
    assert_type(task.refresh(), ImageTask)
    assert_type(task.result(deadline=5), ImageResult)
    assert_type(task.updates(), Iterator[ImageTask])
    assert_type(lemon.images.task_from_dict(task.to_dict()), ImageTask)

    assert_type(lemon.models.get("dall-e-3"), ModelCapabilities)
    assert_type(lemon.with_options(deadline=5, validation="warn"), Lemon)
    assert_type(poll_until_done(lemon.raw, "img_1"), ImageResult)
    assert_type(violations(ImageGenerationRequest(prompt="x")), list[Violation])

    lemon.images.generate("a cat", size="any other text, for the API decides")
    assert_type(lemon.images.edit(["a.png", b"", Path("b.png")], "night", mask="m.png", n=2), ImageResult)
    assert_type(lemon.images.create_variation("a.png", size="512x512"), ImageResult)
    assert_type(lemon.tasks.cancel("img_1"), ImageTask)
    assert_type(lemon.models.list(live=True), list[ModelCapabilities])
    assert_type(lemon.models.pricing("flux-pro"), Record)
    assert_type(lemon.usage(lemon.api_keys()[0].id)[0].cost, Decimal | None)
    assert_type(reconcile("out", client=lemon), Reconciliation)
    lemon.images.edit(3, "night")  # type: ignore[arg-type]
    lemon.images.create_variation("a.png", quality="hd")  # type: ignore[call-arg]
    lemon.images.create("a cat")  # type: ignore[attr-defined]

    lemon.images.generate("a cat", n="2")  # type: ignore[arg-type]
    lemon.images.generate("a cat", sise="1024x1024")  # type: ignore[call-arg]
    lemon.images.generate(prompt=1)  # type: ignore[arg-type]
    lemon.images.submit("a cat", on_update=print)  # type: ignore[call-arg]
    lemon.with_options(default_headers={"X-Trace": "1"}, deadline=5)
    lemon.with_options(api_key="x")  # type: ignore[call-arg]
    Lemon(validation="never")  # type: ignore[arg-type]


async def not_blocking(lemon: AsyncLemon) -> None:
    async def on_update(task: AsyncImageTask) -> None:
        assert_type(task.done, bool)

    result = await lemon.images.generate("a cat", n=2, on_update=on_update)
    assert_type(result, ImageResult)
    assert_type(await result.asave("out"), list[Path])
    assert_type(await result[0].aread(), bytes)

    task = await lemon.images.submit("a cat")
    assert_type(task, AsyncImageTask)
    assert_type(task.updates(), AsyncIterator[AsyncImageTask])
    assert_type(await task.result(), ImageResult)
    assert_type(await apoll_until_done(lemon.raw, task.id), ImageResult)

    assert_type(await lemon.images.edit("a.png", "night", on_update=on_update), ImageResult)
    assert_type(lemon.models.list(), list[ModelCapabilities])
    assert_type(await lemon.models.list(live=True), list[ModelCapabilities])
    assert_type(await lemon.models.get("flux-pro", live=True), ModelCapabilities)
    assert_type(await lemon.balance(), Record)

    await lemon.images.generate("a cat", n="2")  # type: ignore[arg-type]


def after_an_error(error: TaskError) -> list[Path]:
    paths: list[Path] = error.task.result().save("out")
    return paths
