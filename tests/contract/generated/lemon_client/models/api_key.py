# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="ApiKey")


@_attrs_define
class ApiKey:
    """A key that generates images (T+)."""

    id: None | str | Unset = UNSET
    name: None | str | Unset = UNSET
    key_prefix: None | str | Unset = UNSET
    """ The key, shortened. No secret. """
    status: None | str | Unset = UNSET
    """ active, inactive, suspended or revoked. """
    limit_amount: float | None | Unset = UNSET
    limit_amount_decimal: None | str | Unset = UNSET
    """ What it may spend. Null is no limit. """
    used_amount: float | None | Unset = UNSET
    used_amount_decimal: None | str | Unset = UNSET
    models: list[str] | None | Unset = UNSET
    expires_at: None | str | Unset = UNSET
    last_used_at: None | str | Unset = UNSET
    created_at: None | str | Unset = UNSET
    delivery_policy: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id: None | str | Unset
        if isinstance(self.id, Unset):
            id = UNSET
        else:
            id = self.id

        name: None | str | Unset
        if isinstance(self.name, Unset):
            name = UNSET
        else:
            name = self.name

        key_prefix: None | str | Unset
        if isinstance(self.key_prefix, Unset):
            key_prefix = UNSET
        else:
            key_prefix = self.key_prefix

        status: None | str | Unset
        if isinstance(self.status, Unset):
            status = UNSET
        else:
            status = self.status

        limit_amount: float | None | Unset
        if isinstance(self.limit_amount, Unset):
            limit_amount = UNSET
        else:
            limit_amount = self.limit_amount

        limit_amount_decimal: None | str | Unset
        if isinstance(self.limit_amount_decimal, Unset):
            limit_amount_decimal = UNSET
        else:
            limit_amount_decimal = self.limit_amount_decimal

        used_amount: float | None | Unset
        if isinstance(self.used_amount, Unset):
            used_amount = UNSET
        else:
            used_amount = self.used_amount

        used_amount_decimal: None | str | Unset
        if isinstance(self.used_amount_decimal, Unset):
            used_amount_decimal = UNSET
        else:
            used_amount_decimal = self.used_amount_decimal

        models: list[str] | None | Unset
        if isinstance(self.models, Unset):
            models = UNSET
        elif isinstance(self.models, list):
            models = self.models

        else:
            models = self.models

        expires_at: None | str | Unset
        if isinstance(self.expires_at, Unset):
            expires_at = UNSET
        else:
            expires_at = self.expires_at

        last_used_at: None | str | Unset
        if isinstance(self.last_used_at, Unset):
            last_used_at = UNSET
        else:
            last_used_at = self.last_used_at

        created_at: None | str | Unset
        if isinstance(self.created_at, Unset):
            created_at = UNSET
        else:
            created_at = self.created_at

        delivery_policy: None | str | Unset
        if isinstance(self.delivery_policy, Unset):
            delivery_policy = UNSET
        else:
            delivery_policy = self.delivery_policy

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if name is not UNSET:
            field_dict["name"] = name
        if key_prefix is not UNSET:
            field_dict["key_prefix"] = key_prefix
        if status is not UNSET:
            field_dict["status"] = status
        if limit_amount is not UNSET:
            field_dict["limit_amount"] = limit_amount
        if limit_amount_decimal is not UNSET:
            field_dict["limit_amount_decimal"] = limit_amount_decimal
        if used_amount is not UNSET:
            field_dict["used_amount"] = used_amount
        if used_amount_decimal is not UNSET:
            field_dict["used_amount_decimal"] = used_amount_decimal
        if models is not UNSET:
            field_dict["models"] = models
        if expires_at is not UNSET:
            field_dict["expires_at"] = expires_at
        if last_used_at is not UNSET:
            field_dict["last_used_at"] = last_used_at
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if delivery_policy is not UNSET:
            field_dict["delivery_policy"] = delivery_policy

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        id = _parse_id(d.pop("id", UNSET))

        def _parse_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        name = _parse_name(d.pop("name", UNSET))

        def _parse_key_prefix(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        key_prefix = _parse_key_prefix(d.pop("key_prefix", UNSET))

        def _parse_status(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        status = _parse_status(d.pop("status", UNSET))

        def _parse_limit_amount(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        limit_amount = _parse_limit_amount(d.pop("limit_amount", UNSET))

        def _parse_limit_amount_decimal(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        limit_amount_decimal = _parse_limit_amount_decimal(d.pop("limit_amount_decimal", UNSET))

        def _parse_used_amount(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        used_amount = _parse_used_amount(d.pop("used_amount", UNSET))

        def _parse_used_amount_decimal(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        used_amount_decimal = _parse_used_amount_decimal(d.pop("used_amount_decimal", UNSET))

        def _parse_models(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                models_type_0 = cast(list[str], data)

                return models_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        models = _parse_models(d.pop("models", UNSET))

        def _parse_expires_at(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        expires_at = _parse_expires_at(d.pop("expires_at", UNSET))

        def _parse_last_used_at(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        last_used_at = _parse_last_used_at(d.pop("last_used_at", UNSET))

        def _parse_created_at(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        created_at = _parse_created_at(d.pop("created_at", UNSET))

        def _parse_delivery_policy(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        delivery_policy = _parse_delivery_policy(d.pop("delivery_policy", UNSET))

        api_key = cls(
            id=id,
            name=name,
            key_prefix=key_prefix,
            status=status,
            limit_amount=limit_amount,
            limit_amount_decimal=limit_amount_decimal,
            used_amount=used_amount,
            used_amount_decimal=used_amount_decimal,
            models=models,
            expires_at=expires_at,
            last_used_at=last_used_at,
            created_at=created_at,
            delivery_policy=delivery_policy,
        )

        api_key.additional_properties = d
        return api_key

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
