# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.task_status_known import TaskStatusKnown, check_task_status_known
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.image_data import ImageData
    from ..models.task_error_detail import TaskErrorDetail


T = TypeVar("T", bound="ImageGenerationTask")


@_attrs_define
class ImageGenerationTask:
    """A task that generates images. Keep asking until it is completed or failed."""

    task_id: str
    """ Identifies the task. Opaque. """
    status: str | TaskStatusKnown
    """ Where the task stands. New values may appear. """
    created: int | None | Unset = UNSET
    """ When the task was made, in Unix seconds. """
    id: None | str | Unset = UNSET
    """ The same as task_id (L). """
    model: None | str | Unset = UNSET
    """ The model that does it (L). """
    poll_url: None | str | Unset = UNSET
    """ Where to ask for the state, relative to the host. Use it as it is (M). """
    data: list[ImageData] | None | Unset = UNSET
    """ The images once completed; before that empty, or a placeholder whose url is empty. """
    progress: float | None | Unset = UNSET
    """ Per cent, where the model says so. Never a sign of completion (L). """
    updated: int | None | Unset = UNSET
    """ When the state last changed, in Unix seconds (L). """
    cancelled: bool | None | Unset = UNSET
    """ True for a task that was cancelled, beside the status failed (L). """
    cancellation_status: None | str | Unset = UNSET
    """ How far the cancellation is (L). """
    billing_transaction_id: None | str | Unset = UNSET
    """ What the account's usage records call this charge, once it is settled (L). """
    error: None | str | TaskErrorDetail | Unset = UNSET
    """ Why the task failed. A string (E); an object in later documents. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.task_error_detail import TaskErrorDetail  # noqa: PLC0415

        task_id = self.task_id

        status: str
        if isinstance(self.status, str):
            status = self.status
        else:
            status = self.status

        created: int | None | Unset
        if isinstance(self.created, Unset):
            created = UNSET
        else:
            created = self.created

        id: None | str | Unset
        if isinstance(self.id, Unset):
            id = UNSET
        else:
            id = self.id

        model: None | str | Unset
        if isinstance(self.model, Unset):
            model = UNSET
        else:
            model = self.model

        poll_url: None | str | Unset
        if isinstance(self.poll_url, Unset):
            poll_url = UNSET
        else:
            poll_url = self.poll_url

        data: list[dict[str, Any]] | None | Unset
        if isinstance(self.data, Unset):
            data = UNSET
        elif isinstance(self.data, list):
            data = []
            for data_type_0_item_data in self.data:
                data_type_0_item = data_type_0_item_data.to_dict()
                data.append(data_type_0_item)

        else:
            data = self.data

        progress: float | None | Unset
        if isinstance(self.progress, Unset):
            progress = UNSET
        else:
            progress = self.progress

        updated: int | None | Unset
        if isinstance(self.updated, Unset):
            updated = UNSET
        else:
            updated = self.updated

        cancelled: bool | None | Unset
        if isinstance(self.cancelled, Unset):
            cancelled = UNSET
        else:
            cancelled = self.cancelled

        cancellation_status: None | str | Unset
        if isinstance(self.cancellation_status, Unset):
            cancellation_status = UNSET
        else:
            cancellation_status = self.cancellation_status

        billing_transaction_id: None | str | Unset
        if isinstance(self.billing_transaction_id, Unset):
            billing_transaction_id = UNSET
        else:
            billing_transaction_id = self.billing_transaction_id

        error: dict[str, Any] | None | str | Unset
        if isinstance(self.error, Unset):
            error = UNSET
        elif isinstance(self.error, TaskErrorDetail):
            error = self.error.to_dict()
        else:
            error = self.error

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "task_id": task_id,
                "status": status,
            }
        )
        if created is not UNSET:
            field_dict["created"] = created
        if id is not UNSET:
            field_dict["id"] = id
        if model is not UNSET:
            field_dict["model"] = model
        if poll_url is not UNSET:
            field_dict["poll_url"] = poll_url
        if data is not UNSET:
            field_dict["data"] = data
        if progress is not UNSET:
            field_dict["progress"] = progress
        if updated is not UNSET:
            field_dict["updated"] = updated
        if cancelled is not UNSET:
            field_dict["cancelled"] = cancelled
        if cancellation_status is not UNSET:
            field_dict["cancellation_status"] = cancellation_status
        if billing_transaction_id is not UNSET:
            field_dict["billing_transaction_id"] = billing_transaction_id
        if error is not UNSET:
            field_dict["error"] = error

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.image_data import ImageData  # noqa: PLC0415
        from ..models.task_error_detail import TaskErrorDetail  # noqa: PLC0415

        d = dict(src_dict)
        task_id = d.pop("task_id")

        def _parse_status(data: object) -> str | TaskStatusKnown:
            try:
                if not isinstance(data, str):
                    raise TypeError()
                status_type_0 = check_task_status_known(data)

                return status_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(str | TaskStatusKnown, data)

        status = _parse_status(d.pop("status"))

        def _parse_created(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        created = _parse_created(d.pop("created", UNSET))

        def _parse_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        id = _parse_id(d.pop("id", UNSET))

        def _parse_model(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model = _parse_model(d.pop("model", UNSET))

        def _parse_poll_url(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        poll_url = _parse_poll_url(d.pop("poll_url", UNSET))

        def _parse_data(data: object) -> list[ImageData] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                data_type_0 = []
                _data_type_0 = data
                for data_type_0_item_data in _data_type_0:
                    data_type_0_item = ImageData.from_dict(data_type_0_item_data)

                    data_type_0.append(data_type_0_item)

                return data_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[ImageData] | None | Unset, data)

        data = _parse_data(d.pop("data", UNSET))

        def _parse_progress(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        progress = _parse_progress(d.pop("progress", UNSET))

        def _parse_updated(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        updated = _parse_updated(d.pop("updated", UNSET))

        def _parse_cancelled(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        cancelled = _parse_cancelled(d.pop("cancelled", UNSET))

        def _parse_cancellation_status(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        cancellation_status = _parse_cancellation_status(d.pop("cancellation_status", UNSET))

        def _parse_billing_transaction_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        billing_transaction_id = _parse_billing_transaction_id(d.pop("billing_transaction_id", UNSET))

        def _parse_error(data: object) -> None | str | TaskErrorDetail | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                error_type_1 = TaskErrorDetail.from_dict(data)

                return error_type_1
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | str | TaskErrorDetail | Unset, data)

        error = _parse_error(d.pop("error", UNSET))

        image_generation_task = cls(
            task_id=task_id,
            status=status,
            created=created,
            id=id,
            model=model,
            poll_url=poll_url,
            data=data,
            progress=progress,
            updated=updated,
            cancelled=cancelled,
            cancellation_status=cancellation_status,
            billing_transaction_id=billing_transaction_id,
            error=error,
        )

        image_generation_task.additional_properties = d
        return image_generation_task

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
