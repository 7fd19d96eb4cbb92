# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.live_model_lifecycle import LiveModelLifecycle
    from ..models.live_model_request import LiveModelRequest


T = TypeVar("T", bound="LiveModelDetail")


@_attrs_define
class LiveModelDetail:
    category: None | str | Unset = UNSET
    pricing_unit: None | str | Unset = UNSET
    lifecycle: LiveModelLifecycle | None | Unset = UNSET
    request_format_details: LiveModelRequest | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.live_model_lifecycle import LiveModelLifecycle  # noqa: PLC0415
        from ..models.live_model_request import LiveModelRequest  # noqa: PLC0415

        category: None | str | Unset
        if isinstance(self.category, Unset):
            category = UNSET
        else:
            category = self.category

        pricing_unit: None | str | Unset
        if isinstance(self.pricing_unit, Unset):
            pricing_unit = UNSET
        else:
            pricing_unit = self.pricing_unit

        lifecycle: dict[str, Any] | None | Unset
        if isinstance(self.lifecycle, Unset):
            lifecycle = UNSET
        elif isinstance(self.lifecycle, LiveModelLifecycle):
            lifecycle = self.lifecycle.to_dict()
        else:
            lifecycle = self.lifecycle

        request_format_details: dict[str, Any] | None | Unset
        if isinstance(self.request_format_details, Unset):
            request_format_details = UNSET
        elif isinstance(self.request_format_details, LiveModelRequest):
            request_format_details = self.request_format_details.to_dict()
        else:
            request_format_details = self.request_format_details

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if category is not UNSET:
            field_dict["category"] = category
        if pricing_unit is not UNSET:
            field_dict["pricing_unit"] = pricing_unit
        if lifecycle is not UNSET:
            field_dict["lifecycle"] = lifecycle
        if request_format_details is not UNSET:
            field_dict["request_format_details"] = request_format_details

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.live_model_lifecycle import LiveModelLifecycle  # noqa: PLC0415
        from ..models.live_model_request import LiveModelRequest  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_category(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        category = _parse_category(d.pop("category", UNSET))

        def _parse_pricing_unit(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        pricing_unit = _parse_pricing_unit(d.pop("pricing_unit", UNSET))

        def _parse_lifecycle(data: object) -> LiveModelLifecycle | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                lifecycle_type_0 = LiveModelLifecycle.from_dict(data)

                return lifecycle_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(LiveModelLifecycle | None | Unset, data)

        lifecycle = _parse_lifecycle(d.pop("lifecycle", UNSET))

        def _parse_request_format_details(data: object) -> LiveModelRequest | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                request_format_details_type_0 = LiveModelRequest.from_dict(data)

                return request_format_details_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(LiveModelRequest | None | Unset, data)

        request_format_details = _parse_request_format_details(d.pop("request_format_details", UNSET))

        live_model_detail = cls(
            category=category,
            pricing_unit=pricing_unit,
            lifecycle=lifecycle,
            request_format_details=request_format_details,
        )

        live_model_detail.additional_properties = d
        return live_model_detail

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
