# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.image_aspect_ratio_known import (
    ImageAspectRatioKnown,
    check_image_aspect_ratio_known,
)
from ..models.image_background_known import (
    ImageBackgroundKnown,
    check_image_background_known,
)
from ..models.image_moderation_known import (
    ImageModerationKnown,
    check_image_moderation_known,
)
from ..models.image_output_format_known import (
    ImageOutputFormatKnown,
    check_image_output_format_known,
)
from ..models.image_quality_known import ImageQualityKnown, check_image_quality_known
from ..models.image_resolution_known import (
    ImageResolutionKnown,
    check_image_resolution_known,
)
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
    """ The model to use, for example gpt-image-2, nano-banana-pro or flux-pro. An open list that grows. """
    mask: ImageEditMask | Unset = UNSET
    n: int | Unset = UNSET
    """ How many images to generate. How many a model makes at once depends on the model. """
    size: ImageSizeKnown | str | Unset = UNSET
    """ Width and height in pixels, as WIDTHxHEIGHT. Which sizes exist depends on the model. """
    quality: ImageQualityKnown | str | Unset = UNSET
    """ Image quality. Which values there are depends on the model. """
    response_format: ImageResponseFormatKnown | str | Unset = UNSET
    """ Whether an image comes as a URL or as Base64 data. """
    async_: bool | Unset = UNSET
    """ Ask for a task, so that no connection has to stay open until a slow picture is done. """
    aspect_ratio: ImageAspectRatioKnown | str | Unset = UNSET
    """ The shape, as WIDTH:HEIGHT. For models that go by shape instead of size. """
    resolution: ImageResolutionKnown | str | Unset = UNSET
    """ How many pixels, beside aspect_ratio. Which steps there are depends on the model. """
    background: ImageBackgroundKnown | str | Unset = UNSET
    """ Whether what is behind the subject is transparent. """
    output_format: ImageOutputFormatKnown | str | Unset = UNSET
    """ The file format of the images. """
    output_compression: int | Unset = UNSET
    """ How strongly a jpeg or webp is compressed, in per cent. """
    moderation: ImageModerationKnown | str | Unset = UNSET
    """ How strictly prompts and images are moderated. """
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

        async_ = self.async_

        aspect_ratio: str | Unset
        if isinstance(self.aspect_ratio, Unset):
            aspect_ratio = UNSET
        elif isinstance(self.aspect_ratio, str):
            aspect_ratio = self.aspect_ratio
        else:
            aspect_ratio = self.aspect_ratio

        resolution: str | Unset
        if isinstance(self.resolution, Unset):
            resolution = UNSET
        elif isinstance(self.resolution, str):
            resolution = self.resolution
        else:
            resolution = self.resolution

        background: str | Unset
        if isinstance(self.background, Unset):
            background = UNSET
        elif isinstance(self.background, str):
            background = self.background
        else:
            background = self.background

        output_format: str | Unset
        if isinstance(self.output_format, Unset):
            output_format = UNSET
        elif isinstance(self.output_format, str):
            output_format = self.output_format
        else:
            output_format = self.output_format

        output_compression = self.output_compression

        moderation: str | Unset
        if isinstance(self.moderation, Unset):
            moderation = UNSET
        elif isinstance(self.moderation, str):
            moderation = self.moderation
        else:
            moderation = self.moderation

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
        if async_ is not UNSET:
            field_dict["async"] = async_
        if aspect_ratio is not UNSET:
            field_dict["aspect_ratio"] = aspect_ratio
        if resolution is not UNSET:
            field_dict["resolution"] = resolution
        if background is not UNSET:
            field_dict["background"] = background
        if output_format is not UNSET:
            field_dict["output_format"] = output_format
        if output_compression is not UNSET:
            field_dict["output_compression"] = output_compression
        if moderation is not UNSET:
            field_dict["moderation"] = moderation
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

        async_ = d.pop("async", UNSET)

        def _parse_aspect_ratio(data: object) -> ImageAspectRatioKnown | str | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                aspect_ratio_type_0 = check_image_aspect_ratio_known(data)

                return aspect_ratio_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ImageAspectRatioKnown | str | Unset, data)

        aspect_ratio = _parse_aspect_ratio(d.pop("aspect_ratio", UNSET))

        def _parse_resolution(data: object) -> ImageResolutionKnown | str | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                resolution_type_0 = check_image_resolution_known(data)

                return resolution_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ImageResolutionKnown | str | Unset, data)

        resolution = _parse_resolution(d.pop("resolution", UNSET))

        def _parse_background(data: object) -> ImageBackgroundKnown | str | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                background_type_0 = check_image_background_known(data)

                return background_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ImageBackgroundKnown | str | Unset, data)

        background = _parse_background(d.pop("background", UNSET))

        def _parse_output_format(data: object) -> ImageOutputFormatKnown | str | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                output_format_type_0 = check_image_output_format_known(data)

                return output_format_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ImageOutputFormatKnown | str | Unset, data)

        output_format = _parse_output_format(d.pop("output_format", UNSET))

        output_compression = d.pop("output_compression", UNSET)

        def _parse_moderation(data: object) -> ImageModerationKnown | str | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                moderation_type_0 = check_image_moderation_known(data)

                return moderation_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ImageModerationKnown | str | Unset, data)

        moderation = _parse_moderation(d.pop("moderation", UNSET))

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
            async_=async_,
            aspect_ratio=aspect_ratio,
            resolution=resolution,
            background=background,
            output_format=output_format,
            output_compression=output_compression,
            moderation=moderation,
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
