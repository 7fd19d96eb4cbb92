# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.usage_scene_known import UsageSceneKnown, check_usage_scene_known
from ..types import UNSET, Unset

T = TypeVar("T", bound="UsageRecord")


@_attrs_define
class UsageRecord:
    """One charge (T+)."""

    request_id: None | str | Unset = UNSET
    billing_transaction_id: None | str | Unset = UNSET
    """ Once it is settled. """
    model: None | str | Unset = UNSET
    """ The model that was asked for. """
    logical_model: None | str | Unset = UNSET
    model_vendor: None | str | Unset = UNSET
    scene: None | str | Unset | UsageSceneKnown = UNSET
    usage_unit: None | str | Unset = UNSET
    usage_quantity: float | None | Unset = UNSET
    usage_quantity_decimal: None | str | Unset = UNSET
    cost: float | None | Unset = UNSET
    cost_decimal: None | str | Unset = UNSET
    created_at: None | str | Unset = UNSET
    """ When the record was made, as ISO writes it. """
    requested_policy: None | str | Unset = UNSET
    resolved_tier: None | str | Unset = UNSET
    charged_price_basis: Any | Unset = UNSET
    """ The price that was used, where it is known. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        request_id: None | str | Unset
        if isinstance(self.request_id, Unset):
            request_id = UNSET
        else:
            request_id = self.request_id

        billing_transaction_id: None | str | Unset
        if isinstance(self.billing_transaction_id, Unset):
            billing_transaction_id = UNSET
        else:
            billing_transaction_id = self.billing_transaction_id

        model: None | str | Unset
        if isinstance(self.model, Unset):
            model = UNSET
        else:
            model = self.model

        logical_model: None | str | Unset
        if isinstance(self.logical_model, Unset):
            logical_model = UNSET
        else:
            logical_model = self.logical_model

        model_vendor: None | str | Unset
        if isinstance(self.model_vendor, Unset):
            model_vendor = UNSET
        else:
            model_vendor = self.model_vendor

        scene: None | str | Unset
        if isinstance(self.scene, Unset):
            scene = UNSET
        elif isinstance(self.scene, str):
            scene = self.scene
        else:
            scene = self.scene

        usage_unit: None | str | Unset
        if isinstance(self.usage_unit, Unset):
            usage_unit = UNSET
        else:
            usage_unit = self.usage_unit

        usage_quantity: float | None | Unset
        if isinstance(self.usage_quantity, Unset):
            usage_quantity = UNSET
        else:
            usage_quantity = self.usage_quantity

        usage_quantity_decimal: None | str | Unset
        if isinstance(self.usage_quantity_decimal, Unset):
            usage_quantity_decimal = UNSET
        else:
            usage_quantity_decimal = self.usage_quantity_decimal

        cost: float | None | Unset
        if isinstance(self.cost, Unset):
            cost = UNSET
        else:
            cost = self.cost

        cost_decimal: None | str | Unset
        if isinstance(self.cost_decimal, Unset):
            cost_decimal = UNSET
        else:
            cost_decimal = self.cost_decimal

        created_at: None | str | Unset
        if isinstance(self.created_at, Unset):
            created_at = UNSET
        else:
            created_at = self.created_at

        requested_policy: None | str | Unset
        if isinstance(self.requested_policy, Unset):
            requested_policy = UNSET
        else:
            requested_policy = self.requested_policy

        resolved_tier: None | str | Unset
        if isinstance(self.resolved_tier, Unset):
            resolved_tier = UNSET
        else:
            resolved_tier = self.resolved_tier

        charged_price_basis = self.charged_price_basis

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if request_id is not UNSET:
            field_dict["request_id"] = request_id
        if billing_transaction_id is not UNSET:
            field_dict["billing_transaction_id"] = billing_transaction_id
        if model is not UNSET:
            field_dict["model"] = model
        if logical_model is not UNSET:
            field_dict["logical_model"] = logical_model
        if model_vendor is not UNSET:
            field_dict["model_vendor"] = model_vendor
        if scene is not UNSET:
            field_dict["scene"] = scene
        if usage_unit is not UNSET:
            field_dict["usage_unit"] = usage_unit
        if usage_quantity is not UNSET:
            field_dict["usage_quantity"] = usage_quantity
        if usage_quantity_decimal is not UNSET:
            field_dict["usage_quantity_decimal"] = usage_quantity_decimal
        if cost is not UNSET:
            field_dict["cost"] = cost
        if cost_decimal is not UNSET:
            field_dict["cost_decimal"] = cost_decimal
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if requested_policy is not UNSET:
            field_dict["requested_policy"] = requested_policy
        if resolved_tier is not UNSET:
            field_dict["resolved_tier"] = resolved_tier
        if charged_price_basis is not UNSET:
            field_dict["charged_price_basis"] = charged_price_basis

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_request_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        request_id = _parse_request_id(d.pop("request_id", UNSET))

        def _parse_billing_transaction_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        billing_transaction_id = _parse_billing_transaction_id(d.pop("billing_transaction_id", UNSET))

        def _parse_model(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model = _parse_model(d.pop("model", UNSET))

        def _parse_logical_model(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        logical_model = _parse_logical_model(d.pop("logical_model", UNSET))

        def _parse_model_vendor(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model_vendor = _parse_model_vendor(d.pop("model_vendor", UNSET))

        def _parse_scene(data: object) -> None | str | Unset | UsageSceneKnown:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                scene_type_0 = check_usage_scene_known(data)

                return scene_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(None | str | Unset | UsageSceneKnown, data)

        scene = _parse_scene(d.pop("scene", UNSET))

        def _parse_usage_unit(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        usage_unit = _parse_usage_unit(d.pop("usage_unit", UNSET))

        def _parse_usage_quantity(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        usage_quantity = _parse_usage_quantity(d.pop("usage_quantity", UNSET))

        def _parse_usage_quantity_decimal(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        usage_quantity_decimal = _parse_usage_quantity_decimal(d.pop("usage_quantity_decimal", UNSET))

        def _parse_cost(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        cost = _parse_cost(d.pop("cost", UNSET))

        def _parse_cost_decimal(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        cost_decimal = _parse_cost_decimal(d.pop("cost_decimal", UNSET))

        def _parse_created_at(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        created_at = _parse_created_at(d.pop("created_at", UNSET))

        def _parse_requested_policy(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        requested_policy = _parse_requested_policy(d.pop("requested_policy", UNSET))

        def _parse_resolved_tier(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        resolved_tier = _parse_resolved_tier(d.pop("resolved_tier", UNSET))

        charged_price_basis = d.pop("charged_price_basis", UNSET)

        usage_record = cls(
            request_id=request_id,
            billing_transaction_id=billing_transaction_id,
            model=model,
            logical_model=logical_model,
            model_vendor=model_vendor,
            scene=scene,
            usage_unit=usage_unit,
            usage_quantity=usage_quantity,
            usage_quantity_decimal=usage_quantity_decimal,
            cost=cost,
            cost_decimal=cost_decimal,
            created_at=created_at,
            requested_policy=requested_policy,
            resolved_tier=resolved_tier,
            charged_price_basis=charged_price_basis,
        )

        usage_record.additional_properties = d
        return usage_record

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
