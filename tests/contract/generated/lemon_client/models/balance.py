# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="Balance")


@_attrs_define
class Balance:
    """The money of the account, in US dollars (T+)."""

    object_: None | str | Unset = UNSET
    organization_id: None | str | Unset = UNSET
    balance: float | None | Unset = UNSET
    balance_decimal: None | str | Unset = UNSET
    """ What is left. """
    total_recharge: float | None | Unset = UNSET
    total_recharge_decimal: None | str | Unset = UNSET
    total_used: float | None | Unset = UNSET
    total_used_decimal: None | str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_: None | str | Unset
        if isinstance(self.object_, Unset):
            object_ = UNSET
        else:
            object_ = self.object_

        organization_id: None | str | Unset
        if isinstance(self.organization_id, Unset):
            organization_id = UNSET
        else:
            organization_id = self.organization_id

        balance: float | None | Unset
        if isinstance(self.balance, Unset):
            balance = UNSET
        else:
            balance = self.balance

        balance_decimal: None | str | Unset
        if isinstance(self.balance_decimal, Unset):
            balance_decimal = UNSET
        else:
            balance_decimal = self.balance_decimal

        total_recharge: float | None | Unset
        if isinstance(self.total_recharge, Unset):
            total_recharge = UNSET
        else:
            total_recharge = self.total_recharge

        total_recharge_decimal: None | str | Unset
        if isinstance(self.total_recharge_decimal, Unset):
            total_recharge_decimal = UNSET
        else:
            total_recharge_decimal = self.total_recharge_decimal

        total_used: float | None | Unset
        if isinstance(self.total_used, Unset):
            total_used = UNSET
        else:
            total_used = self.total_used

        total_used_decimal: None | str | Unset
        if isinstance(self.total_used_decimal, Unset):
            total_used_decimal = UNSET
        else:
            total_used_decimal = self.total_used_decimal

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if object_ is not UNSET:
            field_dict["object"] = object_
        if organization_id is not UNSET:
            field_dict["organization_id"] = organization_id
        if balance is not UNSET:
            field_dict["balance"] = balance
        if balance_decimal is not UNSET:
            field_dict["balance_decimal"] = balance_decimal
        if total_recharge is not UNSET:
            field_dict["total_recharge"] = total_recharge
        if total_recharge_decimal is not UNSET:
            field_dict["total_recharge_decimal"] = total_recharge_decimal
        if total_used is not UNSET:
            field_dict["total_used"] = total_used
        if total_used_decimal is not UNSET:
            field_dict["total_used_decimal"] = total_used_decimal

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_object_(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        object_ = _parse_object_(d.pop("object", UNSET))

        def _parse_organization_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        organization_id = _parse_organization_id(d.pop("organization_id", UNSET))

        def _parse_balance(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        balance = _parse_balance(d.pop("balance", UNSET))

        def _parse_balance_decimal(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        balance_decimal = _parse_balance_decimal(d.pop("balance_decimal", UNSET))

        def _parse_total_recharge(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        total_recharge = _parse_total_recharge(d.pop("total_recharge", UNSET))

        def _parse_total_recharge_decimal(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        total_recharge_decimal = _parse_total_recharge_decimal(d.pop("total_recharge_decimal", UNSET))

        def _parse_total_used(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        total_used = _parse_total_used(d.pop("total_used", UNSET))

        def _parse_total_used_decimal(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        total_used_decimal = _parse_total_used_decimal(d.pop("total_used_decimal", UNSET))

        balance = cls(
            object_=object_,
            organization_id=organization_id,
            balance=balance,
            balance_decimal=balance_decimal,
            total_recharge=total_recharge,
            total_recharge_decimal=total_recharge_decimal,
            total_used=total_used,
            total_used_decimal=total_used_decimal,
        )

        balance.additional_properties = d
        return balance

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
