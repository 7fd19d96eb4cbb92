# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="ModelPricing")


@_attrs_define
class ModelPricing:
    """What a model costs (L). The types of the inner fields are not documented."""

    model: None | str | Unset = UNSET
    pricing_unit: None | str | Unset = UNSET
    """ per_token, per_image, per_second or per_request (E). """
    has_complex_pricing: bool | None | Unset = UNSET
    pricing_summary: Any | Unset = UNSET
    scalar_pricing: Any | Unset = UNSET
    pricing_details: Any | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        model: None | str | Unset
        if isinstance(self.model, Unset):
            model = UNSET
        else:
            model = self.model

        pricing_unit: None | str | Unset
        if isinstance(self.pricing_unit, Unset):
            pricing_unit = UNSET
        else:
            pricing_unit = self.pricing_unit

        has_complex_pricing: bool | None | Unset
        if isinstance(self.has_complex_pricing, Unset):
            has_complex_pricing = UNSET
        else:
            has_complex_pricing = self.has_complex_pricing

        pricing_summary = self.pricing_summary

        scalar_pricing = self.scalar_pricing

        pricing_details = self.pricing_details

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if model is not UNSET:
            field_dict["model"] = model
        if pricing_unit is not UNSET:
            field_dict["pricing_unit"] = pricing_unit
        if has_complex_pricing is not UNSET:
            field_dict["has_complex_pricing"] = has_complex_pricing
        if pricing_summary is not UNSET:
            field_dict["pricing_summary"] = pricing_summary
        if scalar_pricing is not UNSET:
            field_dict["scalar_pricing"] = scalar_pricing
        if pricing_details is not UNSET:
            field_dict["pricing_details"] = pricing_details

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_model(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model = _parse_model(d.pop("model", UNSET))

        def _parse_pricing_unit(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        pricing_unit = _parse_pricing_unit(d.pop("pricing_unit", UNSET))

        def _parse_has_complex_pricing(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        has_complex_pricing = _parse_has_complex_pricing(d.pop("has_complex_pricing", UNSET))

        pricing_summary = d.pop("pricing_summary", UNSET)

        scalar_pricing = d.pop("scalar_pricing", UNSET)

        pricing_details = d.pop("pricing_details", UNSET)

        model_pricing = cls(
            model=model,
            pricing_unit=pricing_unit,
            has_complex_pricing=has_complex_pricing,
            pricing_summary=pricing_summary,
            scalar_pricing=scalar_pricing,
            pricing_details=pricing_details,
        )

        model_pricing.additional_properties = d
        return model_pricing

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
