# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from typing import Literal

TaskStatusKnown = Literal["completed", "failed", "pending", "processing"]

TASK_STATUS_KNOWN_VALUES: set[TaskStatusKnown] = {
    "completed",
    "failed",
    "pending",
    "processing",
}


def check_task_status_known(value: str) -> TaskStatusKnown:
    if value in TASK_STATUS_KNOWN_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TASK_STATUS_KNOWN_VALUES!r}")
