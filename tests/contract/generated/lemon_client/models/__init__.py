# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
"""Contains all the data models used in inputs/outputs"""

from .api_key import ApiKey
from .api_key_list import ApiKeyList
from .api_key_usage import ApiKeyUsage
from .balance import Balance
from .error_detail import ErrorDetail
from .error_response import ErrorResponse
from .image_data import ImageData
from .image_edit_form import ImageEditForm
from .image_edit_mask import ImageEditMask
from .image_edit_request import ImageEditRequest
from .image_generation_request import ImageGenerationRequest
from .image_generation_task import ImageGenerationTask
from .image_quality_known import ImageQualityKnown
from .image_response_format_known import ImageResponseFormatKnown
from .image_size_known import ImageSizeKnown
from .image_style_known import ImageStyleKnown
from .image_variation_form import ImageVariationForm
from .images_response import ImagesResponse
from .live_model import LiveModel
from .live_model_detail import LiveModelDetail
from .live_model_lifecycle import LiveModelLifecycle
from .live_model_request import LiveModelRequest
from .model_alternative import ModelAlternative
from .model_list import ModelList
from .model_pricing import ModelPricing
from .model_suggestion import ModelSuggestion
from .pagination import Pagination
from .task_error_detail import TaskErrorDetail
from .task_status_known import TaskStatusKnown
from .usage_record import UsageRecord
from .usage_scene_known import UsageSceneKnown
from .usage_summary import UsageSummary
from .validation_error import ValidationError

__all__ = (
    "ApiKey",
    "ApiKeyList",
    "ApiKeyUsage",
    "Balance",
    "ErrorDetail",
    "ErrorResponse",
    "ImageData",
    "ImageEditForm",
    "ImageEditMask",
    "ImageEditRequest",
    "ImageGenerationRequest",
    "ImageGenerationTask",
    "ImageQualityKnown",
    "ImageResponseFormatKnown",
    "ImageSizeKnown",
    "ImagesResponse",
    "ImageStyleKnown",
    "ImageVariationForm",
    "LiveModel",
    "LiveModelDetail",
    "LiveModelLifecycle",
    "LiveModelRequest",
    "ModelAlternative",
    "ModelList",
    "ModelPricing",
    "ModelSuggestion",
    "Pagination",
    "TaskErrorDetail",
    "TaskStatusKnown",
    "UsageRecord",
    "UsageSceneKnown",
    "UsageSummary",
    "ValidationError",
)
