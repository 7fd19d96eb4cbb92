# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.live_model_detail import LiveModelDetail


T = TypeVar("T", bound="LiveModel")


@_attrs_define
class LiveModel:
    """A model as the API itself describes it. What it takes is told in fields that were renamed (L, T); see x-lemon-live."""

    id: str
    object_: None | str | Unset = UNSET
    created: int | None | Unset = UNSET
    owned_by: None | str | Unset = UNSET
    tokenlab: LiveModelDetail | None | Unset = UNSET
    """ What the gateway adds (T). """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        from ..models.live_model_detail import LiveModelDetail  # noqa: PLC0415

        id = self.id

        object_: None | str | Unset
        if isinstance(self.object_, Unset):
            object_ = UNSET
        else:
            object_ = self.object_

        created: int | None | Unset
        if isinstance(self.created, Unset):
            created = UNSET
        else:
            created = self.created

        owned_by: None | str | Unset
        if isinstance(self.owned_by, Unset):
            owned_by = UNSET
        else:
            owned_by = self.owned_by

        tokenlab: dict[str, Any] | None | Unset
        if isinstance(self.tokenlab, Unset):
            tokenlab = UNSET
        elif isinstance(self.tokenlab, LiveModelDetail):
            tokenlab = self.tokenlab.to_dict()
        else:
            tokenlab = self.tokenlab

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
            }
        )
        if object_ is not UNSET:
            field_dict["object"] = object_
        if created is not UNSET:
            field_dict["created"] = created
        if owned_by is not UNSET:
            field_dict["owned_by"] = owned_by
        if tokenlab is not UNSET:
            field_dict["tokenlab"] = tokenlab

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.live_model_detail import LiveModelDetail  # noqa: PLC0415

        d = dict(src_dict)
        id = d.pop("id")

        def _parse_object_(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        object_ = _parse_object_(d.pop("object", UNSET))

        def _parse_created(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        created = _parse_created(d.pop("created", UNSET))

        def _parse_owned_by(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        owned_by = _parse_owned_by(d.pop("owned_by", UNSET))

        def _parse_tokenlab(data: object) -> LiveModelDetail | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                tokenlab_type_0 = LiveModelDetail.from_dict(data)

                return tokenlab_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(LiveModelDetail | None | Unset, data)

        tokenlab = _parse_tokenlab(d.pop("tokenlab", UNSET))

        live_model = cls(
            id=id,
            object_=object_,
            created=created,
            owned_by=owned_by,
            tokenlab=tokenlab,
        )

        live_model.additional_properties = d
        return live_model

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
