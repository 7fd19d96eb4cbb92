# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.model_alternative import ModelAlternative
    from ..models.model_suggestion import ModelSuggestion


T = TypeVar("T", bound="ErrorDetail")


@_attrs_define
class ErrorDetail:
    message: None | str | Unset = UNSET
    """ What happened. """
    type_: None | str | Unset = UNSET
    """ Class of error. Its values differ between the pages; rely on the status and on code. """
    code: None | str | Unset = UNSET
    """ Machine-readable code. """
    param: None | str | Unset = UNSET
    """ The request field at fault. """
    did_you_mean: None | str | Unset = UNSET
    """ Nearest existing model. """
    suggestions: list[ModelSuggestion] | None | Unset = UNSET
    """ Models to use instead. """
    alternatives: list[ModelAlternative] | None | Unset = UNSET
    """ Models that are available now, on 503. """
    hint: None | str | Unset = UNSET
    """ What to do next. """
    retryable: bool | None | Unset = UNSET
    """ Whether sending the same request again can succeed. """
    retry_after: float | None | Unset = UNSET
    """ Seconds to wait before that. """
    balance_usd: float | None | Unset = UNSET
    """ Money left, on 402. """
    estimated_cost_usd: float | None | Unset = UNSET
    """ What the request would have cost, on 402. """
    upstream: None | str | Unset = UNSET
    """ Which provider failed (E-spec). """
    request_id: None | str | Unset = UNSET
    """ What to name when asking about this request (T+). """
    model: None | str | Unset = UNSET
    """ The model it is about (T-spec). """
    supported_parameters: list[str] | None | Unset = UNSET
    """ What the model takes (T-spec). """
    supported_operations: list[str] | None | Unset = UNSET
    """ What the model does (T-spec). """
    allowed_resolutions: list[str] | None | Unset = UNSET
    """ Values of resolution (T-spec). """
    allowed_aspect_ratios: list[str] | None | Unset = UNSET
    """ Values of aspect_ratio (T-spec). """
    prompt_max_characters: int | None | Unset = UNSET
    """ How long a prompt may be (T-spec). """
    request_endpoint: None | str | Unset = UNSET
    """ Where such a request belongs (T-spec). """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        message: None | str | Unset
        if isinstance(self.message, Unset):
            message = UNSET
        else:
            message = self.message

        type_: None | str | Unset
        if isinstance(self.type_, Unset):
            type_ = UNSET
        else:
            type_ = self.type_

        code: None | str | Unset
        if isinstance(self.code, Unset):
            code = UNSET
        else:
            code = self.code

        param: None | str | Unset
        if isinstance(self.param, Unset):
            param = UNSET
        else:
            param = self.param

        did_you_mean: None | str | Unset
        if isinstance(self.did_you_mean, Unset):
            did_you_mean = UNSET
        else:
            did_you_mean = self.did_you_mean

        suggestions: list[dict[str, Any]] | None | Unset
        if isinstance(self.suggestions, Unset):
            suggestions = UNSET
        elif isinstance(self.suggestions, list):
            suggestions = []
            for suggestions_type_0_item_data in self.suggestions:
                suggestions_type_0_item = suggestions_type_0_item_data.to_dict()
                suggestions.append(suggestions_type_0_item)

        else:
            suggestions = self.suggestions

        alternatives: list[dict[str, Any]] | None | Unset
        if isinstance(self.alternatives, Unset):
            alternatives = UNSET
        elif isinstance(self.alternatives, list):
            alternatives = []
            for alternatives_type_0_item_data in self.alternatives:
                alternatives_type_0_item = alternatives_type_0_item_data.to_dict()
                alternatives.append(alternatives_type_0_item)

        else:
            alternatives = self.alternatives

        hint: None | str | Unset
        if isinstance(self.hint, Unset):
            hint = UNSET
        else:
            hint = self.hint

        retryable: bool | None | Unset
        if isinstance(self.retryable, Unset):
            retryable = UNSET
        else:
            retryable = self.retryable

        retry_after: float | None | Unset
        if isinstance(self.retry_after, Unset):
            retry_after = UNSET
        else:
            retry_after = self.retry_after

        balance_usd: float | None | Unset
        if isinstance(self.balance_usd, Unset):
            balance_usd = UNSET
        else:
            balance_usd = self.balance_usd

        estimated_cost_usd: float | None | Unset
        if isinstance(self.estimated_cost_usd, Unset):
            estimated_cost_usd = UNSET
        else:
            estimated_cost_usd = self.estimated_cost_usd

        upstream: None | str | Unset
        if isinstance(self.upstream, Unset):
            upstream = UNSET
        else:
            upstream = self.upstream

        request_id: None | str | Unset
        if isinstance(self.request_id, Unset):
            request_id = UNSET
        else:
            request_id = self.request_id

        model: None | str | Unset
        if isinstance(self.model, Unset):
            model = UNSET
        else:
            model = self.model

        supported_parameters: list[str] | None | Unset
        if isinstance(self.supported_parameters, Unset):
            supported_parameters = UNSET
        elif isinstance(self.supported_parameters, list):
            supported_parameters = self.supported_parameters

        else:
            supported_parameters = self.supported_parameters

        supported_operations: list[str] | None | Unset
        if isinstance(self.supported_operations, Unset):
            supported_operations = UNSET
        elif isinstance(self.supported_operations, list):
            supported_operations = self.supported_operations

        else:
            supported_operations = self.supported_operations

        allowed_resolutions: list[str] | None | Unset
        if isinstance(self.allowed_resolutions, Unset):
            allowed_resolutions = UNSET
        elif isinstance(self.allowed_resolutions, list):
            allowed_resolutions = self.allowed_resolutions

        else:
            allowed_resolutions = self.allowed_resolutions

        allowed_aspect_ratios: list[str] | None | Unset
        if isinstance(self.allowed_aspect_ratios, Unset):
            allowed_aspect_ratios = UNSET
        elif isinstance(self.allowed_aspect_ratios, list):
            allowed_aspect_ratios = self.allowed_aspect_ratios

        else:
            allowed_aspect_ratios = self.allowed_aspect_ratios

        prompt_max_characters: int | None | Unset
        if isinstance(self.prompt_max_characters, Unset):
            prompt_max_characters = UNSET
        else:
            prompt_max_characters = self.prompt_max_characters

        request_endpoint: None | str | Unset
        if isinstance(self.request_endpoint, Unset):
            request_endpoint = UNSET
        else:
            request_endpoint = self.request_endpoint

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if message is not UNSET:
            field_dict["message"] = message
        if type_ is not UNSET:
            field_dict["type"] = type_
        if code is not UNSET:
            field_dict["code"] = code
        if param is not UNSET:
            field_dict["param"] = param
        if did_you_mean is not UNSET:
            field_dict["did_you_mean"] = did_you_mean
        if suggestions is not UNSET:
            field_dict["suggestions"] = suggestions
        if alternatives is not UNSET:
            field_dict["alternatives"] = alternatives
        if hint is not UNSET:
            field_dict["hint"] = hint
        if retryable is not UNSET:
            field_dict["retryable"] = retryable
        if retry_after is not UNSET:
            field_dict["retry_after"] = retry_after
        if balance_usd is not UNSET:
            field_dict["balance_usd"] = balance_usd
        if estimated_cost_usd is not UNSET:
            field_dict["estimated_cost_usd"] = estimated_cost_usd
        if upstream is not UNSET:
            field_dict["upstream"] = upstream
        if request_id is not UNSET:
            field_dict["request_id"] = request_id
        if model is not UNSET:
            field_dict["model"] = model
        if supported_parameters is not UNSET:
            field_dict["supported_parameters"] = supported_parameters
        if supported_operations is not UNSET:
            field_dict["supported_operations"] = supported_operations
        if allowed_resolutions is not UNSET:
            field_dict["allowed_resolutions"] = allowed_resolutions
        if allowed_aspect_ratios is not UNSET:
            field_dict["allowed_aspect_ratios"] = allowed_aspect_ratios
        if prompt_max_characters is not UNSET:
            field_dict["prompt_max_characters"] = prompt_max_characters
        if request_endpoint is not UNSET:
            field_dict["request_endpoint"] = request_endpoint

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.model_alternative import ModelAlternative  # noqa: PLC0415
        from ..models.model_suggestion import ModelSuggestion  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_message(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        message = _parse_message(d.pop("message", UNSET))

        def _parse_type_(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        type_ = _parse_type_(d.pop("type", UNSET))

        def _parse_code(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        code = _parse_code(d.pop("code", UNSET))

        def _parse_param(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        param = _parse_param(d.pop("param", UNSET))

        def _parse_did_you_mean(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        did_you_mean = _parse_did_you_mean(d.pop("did_you_mean", UNSET))

        def _parse_suggestions(data: object) -> list[ModelSuggestion] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                suggestions_type_0 = []
                _suggestions_type_0 = data
                for suggestions_type_0_item_data in _suggestions_type_0:
                    suggestions_type_0_item = ModelSuggestion.from_dict(suggestions_type_0_item_data)

                    suggestions_type_0.append(suggestions_type_0_item)

                return suggestions_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[ModelSuggestion] | None | Unset, data)

        suggestions = _parse_suggestions(d.pop("suggestions", UNSET))

        def _parse_alternatives(data: object) -> list[ModelAlternative] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                alternatives_type_0 = []
                _alternatives_type_0 = data
                for alternatives_type_0_item_data in _alternatives_type_0:
                    alternatives_type_0_item = ModelAlternative.from_dict(alternatives_type_0_item_data)

                    alternatives_type_0.append(alternatives_type_0_item)

                return alternatives_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[ModelAlternative] | None | Unset, data)

        alternatives = _parse_alternatives(d.pop("alternatives", UNSET))

        def _parse_hint(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        hint = _parse_hint(d.pop("hint", UNSET))

        def _parse_retryable(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        retryable = _parse_retryable(d.pop("retryable", UNSET))

        def _parse_retry_after(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        retry_after = _parse_retry_after(d.pop("retry_after", UNSET))

        def _parse_balance_usd(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        balance_usd = _parse_balance_usd(d.pop("balance_usd", UNSET))

        def _parse_estimated_cost_usd(data: object) -> float | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(float | None | Unset, data)

        estimated_cost_usd = _parse_estimated_cost_usd(d.pop("estimated_cost_usd", UNSET))

        def _parse_upstream(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        upstream = _parse_upstream(d.pop("upstream", UNSET))

        def _parse_request_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        request_id = _parse_request_id(d.pop("request_id", UNSET))

        def _parse_model(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        model = _parse_model(d.pop("model", UNSET))

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

        def _parse_supported_operations(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                supported_operations_type_0 = cast(list[str], data)

                return supported_operations_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        supported_operations = _parse_supported_operations(d.pop("supported_operations", UNSET))

        def _parse_allowed_resolutions(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                allowed_resolutions_type_0 = cast(list[str], data)

                return allowed_resolutions_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        allowed_resolutions = _parse_allowed_resolutions(d.pop("allowed_resolutions", UNSET))

        def _parse_allowed_aspect_ratios(data: object) -> list[str] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                allowed_aspect_ratios_type_0 = cast(list[str], data)

                return allowed_aspect_ratios_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[str] | None | Unset, data)

        allowed_aspect_ratios = _parse_allowed_aspect_ratios(d.pop("allowed_aspect_ratios", UNSET))

        def _parse_prompt_max_characters(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        prompt_max_characters = _parse_prompt_max_characters(d.pop("prompt_max_characters", UNSET))

        def _parse_request_endpoint(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        request_endpoint = _parse_request_endpoint(d.pop("request_endpoint", UNSET))

        error_detail = cls(
            message=message,
            type_=type_,
            code=code,
            param=param,
            did_you_mean=did_you_mean,
            suggestions=suggestions,
            alternatives=alternatives,
            hint=hint,
            retryable=retryable,
            retry_after=retry_after,
            balance_usd=balance_usd,
            estimated_cost_usd=estimated_cost_usd,
            upstream=upstream,
            request_id=request_id,
            model=model,
            supported_parameters=supported_parameters,
            supported_operations=supported_operations,
            allowed_resolutions=allowed_resolutions,
            allowed_aspect_ratios=allowed_aspect_ratios,
            prompt_max_characters=prompt_max_characters,
            request_endpoint=request_endpoint,
        )

        error_detail.additional_properties = d
        return error_detail

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
