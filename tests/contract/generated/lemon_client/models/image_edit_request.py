# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.image_quality_known import ImageQualityKnown, check_image_quality_known
from ..models.image_response_format_known import (
    ImageResponseFormatKnown,
    check_image_response_format_known,
)
from ..models.image_size_known import ImageSizeKnown, check_image_size_known
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.image_edit_mask import ImageEditMask


T = TypeVar("T", bound="ImageEditRequest")


@_attrs_define
class ImageEditRequest:
    """What to change, with the pictures at public addresses (L)."""

    image_urls: list[str]
    """ The pictures to change. """
    prompt: str
    """ What the image should show. """
    model: str
    """ The model to use, for example dall-e-3, flux-pro or midjourney. An open list that grows. """
    mask: ImageEditMask | Unset = UNSET
    n: int | Unset = UNSET
    """ How many images to generate. Documented as 1 to 4, depending on the model. """
    size: ImageSizeKnown | str | Unset = UNSET
    """ Width and height in pixels, as WIDTHxHEIGHT. Which sizes exist depends on the model. """
    quality: ImageQualityKnown | str | Unset = UNSET
    """ Image quality. dall-e-3 only. """
    response_format: ImageResponseFormatKnown | str | Unset = UNSET
    """ Whether an image comes as a URL or as Base64 data. """
    user: str | Unset = UNSET
    """ An identifier of your end user. """
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        image_urls = self.image_urls

        prompt = self.prompt

        model = self.model

        mask: dict[str, Any] | Unset = UNSET
        if not isinstance(self.mask, Unset):
            mask = self.mask.to_dict()

        n = self.n

        size: str | Unset
        if isinstance(self.size, Unset):
            size = UNSET
        elif isinstance(self.size, str):
            size = self.size
        else:
            size = self.size

        quality: str | Unset
        if isinstance(self.quality, Unset):
            quality = UNSET
        elif isinstance(self.quality, str):
            quality = self.quality
        else:
            quality = self.quality

        response_format: str | Unset
        if isinstance(self.response_format, Unset):
            response_format = UNSET
        elif isinstance(self.response_format, str):
            response_format = self.response_format
        else:
            response_format = self.response_format

        user = self.user

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "image_urls": image_urls,
                "prompt": prompt,
                "model": model,
            }
        )
        if mask is not UNSET:
            field_dict["mask"] = mask
        if n is not UNSET:
            field_dict["n"] = n
        if size is not UNSET:
            field_dict["size"] = size
        if quality is not UNSET:
            field_dict["quality"] = quality
        if response_format is not UNSET:
            field_dict["response_format"] = response_format
        if user is not UNSET:
            field_dict["user"] = user

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.image_edit_mask import ImageEditMask  # noqa: PLC0415

        d = dict(src_dict)
        image_urls = cast(list[str], d.pop("image_urls"))

        prompt = d.pop("prompt")

        model = d.pop("model")

        _mask = d.pop("mask", UNSET)
        mask: ImageEditMask | Unset
        if isinstance(_mask, Unset):
            mask = UNSET
        else:
            mask = ImageEditMask.from_dict(_mask)

        n = d.pop("n", UNSET)

        def _parse_size(data: object) -> ImageSizeKnown | str | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                size_type_0 = check_image_size_known(data)

                return size_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ImageSizeKnown | str | Unset, data)

        size = _parse_size(d.pop("size", UNSET))

        def _parse_quality(data: object) -> ImageQualityKnown | str | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                quality_type_0 = check_image_quality_known(data)

                return quality_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ImageQualityKnown | str | Unset, data)

        quality = _parse_quality(d.pop("quality", UNSET))

        def _parse_response_format(data: object) -> ImageResponseFormatKnown | str | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                response_format_type_0 = check_image_response_format_known(data)

                return response_format_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ImageResponseFormatKnown | str | Unset, data)

        response_format = _parse_response_format(d.pop("response_format", UNSET))

        user = d.pop("user", UNSET)

        image_edit_request = cls(
            image_urls=image_urls,
            prompt=prompt,
            model=model,
            mask=mask,
            n=n,
            size=size,
            quality=quality,
            response_format=response_format,
            user=user,
        )

        image_edit_request.additional_properties = d
        return image_edit_request

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
