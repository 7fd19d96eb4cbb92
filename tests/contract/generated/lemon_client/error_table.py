# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
"""The error codes of the contract: what each means, and with which HTTP status it comes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

Meaning: TypeAlias = Literal[
    "request", "model", "moderation", "auth", "money", "permission", "task", "size", "rate", "capacity", "server"
]
#: request: the request is wrong; sending it again does not help.
#: model: there is no such model, or it cannot be used now.
#: moderation: the prompt or an image was refused for what it shows.
#: auth: the key is missing, wrong or expired.
#: money: the balance or the limit of the key does not cover it.
#: permission: this key may not do that.
#: task: there is no such task, or it cannot be changed.
#: size: the request is too large.
#: rate: too many requests in this minute.
#: capacity: no provider is free or reachable; later it may work.
#: server: the server failed.


class ErrorCode(NamedTuple):
    """What is known of a code. No status: it comes in the error of a failed task alone."""

    meaning: Meaning
    statuses: tuple[int, ...]
    source: str


ERROR_CODES: Final[Mapping[str, ErrorCode]] = MappingProxyType(
    {
        "context_length_exceeded": ErrorCode("request", (400,), "E"),
        "model_not_found": ErrorCode("model", (400, 404), "E"),
        "invalid_api_key": ErrorCode("auth", (401,), "E"),
        "expired_api_key": ErrorCode("auth", (401,), "E-spec"),
        "insufficient_balance": ErrorCode("money", (402,), "E"),
        "insufficient_quota": ErrorCode("money", (402,), "E"),
        "quota_exceeded": ErrorCode("money", (402,), "E"),
        "access_denied": ErrorCode("permission", (403,), "E"),
        "model_not_allowed": ErrorCode("permission", (403,), "E"),
        "async_task_not_found": ErrorCode("task", (404,), "L"),
        "payload_too_large": ErrorCode("size", (413,), "E"),
        "rate_limit_exceeded": ErrorCode("rate", (429,), "E"),
        "all_channels_failed": ErrorCode("capacity", (503,), "E"),
        "unsupported_task_cancel": ErrorCode("task", (400,), "E"),
        "task_not_cancellable": ErrorCode("task", (409,), "E"),
        "content_policy": ErrorCode("moderation", (), "elsewhere"),
        "content_policy_violation": ErrorCode("moderation", (400,), "elsewhere"),
        "moderation_blocked": ErrorCode("moderation", (400,), "elsewhere"),
        "insufficient_user_quota": ErrorCode("money", (403,), "elsewhere"),
        "billing_hard_limit_reached": ErrorCode("money", (400,), "elsewhere"),
    }
)
