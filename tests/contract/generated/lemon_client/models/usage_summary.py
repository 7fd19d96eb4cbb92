# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="UsageSummary")


@_attrs_define
class UsageSummary:
    """Of all records that were asked for."""

    total_requests: float | None | Unset = UNSET
    total_cost: float | None | Unset = UNSET
    total_cost_decimal: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        total_requests: float | None | Unset
        if isinstance(self.total_requests, Unset):
            total_requests = UNSET
        else:
            total_requests = self.total_requests

        total_cost: float | None | Unset
        if isinstance(self.total_cost, Unset):
            total_cost = UNSET
        else:
            total_cost = self.total_cost

        total_cost_decimal: None | str | Unset
        if isinstance(self.total_cost_decimal, Unset):
            total_cost_decimal = UNSET
        else:
            total_cost_decimal = self.total_cost_decimal

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if total_requests is not UNSET:
            field_dict["total_requests"] = total_requests
        if total_cost is not UNSET:
            field_dict["total_cost"] = total_cost
        if total_cost_decimal is not UNSET:
            field_dict["total_cost_decimal"] = total_cost_decimal

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_total_requests(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        total_requests = _parse_total_requests(d.pop("total_requests", UNSET))

        def _parse_total_cost(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        total_cost = _parse_total_cost(d.pop("total_cost", UNSET))

        def _parse_total_cost_decimal(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        total_cost_decimal = _parse_total_cost_decimal(d.pop("total_cost_decimal", UNSET))

        usage_summary = cls(
            total_requests=total_requests,
            total_cost=total_cost,
            total_cost_decimal=total_cost_decimal,
        )

        usage_summary.additional_properties = d
        return usage_summary

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
