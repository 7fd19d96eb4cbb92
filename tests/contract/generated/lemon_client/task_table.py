# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
"""Waiting, as the contract describes it: the fields of an answer, what a status means, and how to poll."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

State: TypeAlias = Literal["running", "succeeded", "failed", "cancelled"]
#: The keys that lead to a field, from the outside to the inside.
FieldPath: TypeAlias = tuple[str, ...]


class Poll(NamedTuple):
    """How a task is polled or cancelled: the operation, and which field of the answer fills each parameter."""

    operation: str
    parameters: Mapping[str, FieldPath]


class TaskFields(NamedTuple):
    """The fields of a task's answers, each in order of preference; empty where no answer has it."""

    id: tuple[FieldPath, ...]
    """Names the task; it counts only beside a status or an address, and never beside an error."""
    status: tuple[FieldPath, ...]
    """Says where the task stands."""
    poll_url: tuple[FieldPath, ...]
    """Is the address to poll."""
    images: tuple[FieldPath, ...]
    """Holds the images, in the answer of a finished task and in an inline one."""
    error: tuple[FieldPath, ...]
    """Says why the task failed."""
    progress: tuple[FieldPath, ...]
    """Is a number in per cent."""
    cancelled: tuple[FieldPath, ...]
    """Is true where the task was cancelled, whatever the status says."""
    created: tuple[FieldPath, ...]
    """Is when the task was made, in Unix seconds."""


FIELDS: Final = TaskFields(
    id=(("task_id",), ("id",)),
    status=(("status",),),
    poll_url=(("poll_url",),),
    images=(("data",),),
    error=(("error",),),
    progress=(("progress",),),
    cancelled=(("cancelled",),),
    created=(("created",),),
)

#: The documented words of each state (TaskStatusKnown), as they are written.
DOCUMENTED: Final[Mapping[State, tuple[str, ...]]] = MappingProxyType(
    {
        "running": ("pending", "processing"),
        "succeeded": ("completed",),
        "failed": ("failed",),
        "cancelled": (),
    }
)

#: What a status means, by the word in lower case; other gateways' words too. Any other: keep polling.
STATES: Final[Mapping[str, State]] = MappingProxyType(
    {
        "pending": "running",
        "processing": "running",
        "queued": "running",
        "running": "running",
        "submitted": "running",
        "in_progress": "running",
        "completed": "succeeded",
        "complete": "succeeded",
        "succeeded": "succeeded",
        "success": "succeeded",
        "failed": "failed",
        "failure": "failed",
        "error": "failed",
        "expired": "failed",
        "aborted": "failed",
        "cancelled": "cancelled",
        "canceled": "cancelled",
    }
)

#: How many seconds a task usually takes, from and to.
TYPICAL_SECONDS: Final[tuple[float, float]] = (30.0, 120.0)

#: How the task of an operation is polled.
POLLS: Final[Mapping[str, Poll]] = MappingProxyType(
    {
        "create_image": Poll("get_image_task", MappingProxyType({"task_id": ("task_id",)})),
        "edit_image": Poll("get_image_task", MappingProxyType({"task_id": ("task_id",)})),
        "create_variation": Poll("get_image_task", MappingProxyType({"task_id": ("task_id",)})),
    }
)

#: How the task of an operation is cancelled, where that is documented.
CANCELS: Final[Mapping[str, Poll]] = MappingProxyType(
    {
        "create_image": Poll("cancel_image_task", MappingProxyType({"task_id": ("task_id",)})),
        "edit_image": Poll("cancel_image_task", MappingProxyType({"task_id": ("task_id",)})),
        "create_variation": Poll("cancel_image_task", MappingProxyType({"task_id": ("task_id",)})),
    }
)
