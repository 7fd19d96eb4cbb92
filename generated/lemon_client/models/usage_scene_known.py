# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from typing import Literal

UsageSceneKnown = Literal[
    "3d", "audio", "chat", "embedding", "image", "music", "realtime", "rerank", "translation", "video"
]

USAGE_SCENE_KNOWN_VALUES: set[UsageSceneKnown] = {
    "3d",
    "audio",
    "chat",
    "embedding",
    "image",
    "music",
    "realtime",
    "rerank",
    "translation",
    "video",
}


def check_usage_scene_known(value: str) -> UsageSceneKnown:
    if value in USAGE_SCENE_KNOWN_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {USAGE_SCENE_KNOWN_VALUES!r}")
