# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="LiveModelRequest")


@_attrs_define
class LiveModelRequest:
    supported_parameters: list[str] | None | Unset = UNSET
    resolutions: list[str] | None | Unset = UNSET
    aspect_ratios: list[str] | None | Unset = UNSET
    output_formats: list[str] | None | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        supported_parameters: list[str] | None | Unset
        if isinstance(self.supported_parameters, Unset):
            supported_parameters = UNSET
        elif isinstance(self.supported_parameters, list):
            supported_parameters = self.supported_parameters

        else:
            supported_parameters = self.supported_parameters

        resolutions: list[str] | None | Unset
        if isinstance(self.resolutions, Unset):
            resolutions = UNSET
        elif isinstance(self.resolutions, list):
            resolutions = self.resolutions

        else:
            resolutions = self.resolutions

        aspect_ratios: list[str] | None | Unset
        if isinstance(self.aspect_ratios, Unset):
            aspect_ratios = UNSET
        elif isinstance(self.aspect_ratios, list):
            aspect_ratios = self.aspect_ratios

        else:
            aspect_ratios = self.aspect_ratios

        output_formats: list[str] | None | Unset
        if isinstance(self.output_formats, Unset):
            output_formats = UNSET
        elif isinstance(self.output_formats, list):
            output_formats = self.output_formats

        else:
            output_formats = self.output_formats

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if supported_parameters is not UNSET:
            field_dict["supported_parameters"] = supported_parameters
        if resolutions is not UNSET:
            field_dict["resolutions"] = resolutions
        if aspect_ratios is not UNSET:
            field_dict["aspect_ratios"] = aspect_ratios
        if output_formats is not UNSET:
            field_dict["output_formats"] = output_formats

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_supported_parameters(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                supported_parameters_type_0 = cast(list[str], data)

                return supported_parameters_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        supported_parameters = _parse_supported_parameters(d.pop("supported_parameters", UNSET))

        def _parse_resolutions(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                resolutions_type_0 = cast(list[str], data)

                return resolutions_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        resolutions = _parse_resolutions(d.pop("resolutions", UNSET))

        def _parse_aspect_ratios(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                aspect_ratios_type_0 = cast(list[str], data)

                return aspect_ratios_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        aspect_ratios = _parse_aspect_ratios(d.pop("aspect_ratios", UNSET))

        def _parse_output_formats(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                output_formats_type_0 = cast(list[str], data)

                return output_formats_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        output_formats = _parse_output_formats(d.pop("output_formats", UNSET))

        live_model_request = cls(
            supported_parameters=supported_parameters,
            resolutions=resolutions,
            aspect_ratios=aspect_ratios,
            output_formats=output_formats,
        )

        live_model_request.additional_properties = d
        return live_model_request

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
