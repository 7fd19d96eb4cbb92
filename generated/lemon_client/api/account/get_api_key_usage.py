# @generated from openapi.yaml by openapi-python-client 0.29.1. Do not edit: change openapi.yaml and run "make regen".
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from ...client import AuthenticatedClient, Client
from ...models.api_key_usage import ApiKeyUsage
from ...models.error_response import ErrorResponse
from ...models.usage_scene_known import UsageSceneKnown
from ...types import UNSET, Response, Unset


def _get_kwargs(
    key_id: str,
    *,
    page: int | Unset = UNSET,
    limit: int | Unset = UNSET,
    model: str | Unset = UNSET,
    scene: str | Unset | UsageSceneKnown = UNSET,
    start_date: str | Unset = UNSET,
    end_date: str | Unset = UNSET,
) -> dict[str, Any]:

    params: dict[str, Any] = {}

    params["page"] = page

    params["limit"] = limit

    params["model"] = model

    json_scene: str | Unset
    if isinstance(scene, Unset):
        json_scene = UNSET
    elif isinstance(scene, str):
        json_scene = scene
    else:
        json_scene = scene
    params["scene"] = json_scene

    params["startDate"] = start_date

    params["endDate"] = end_date

    params = {k: v for k, v in params.items() if v is not UNSET and v is not None}

    _kwargs: dict[str, Any] = {
        "method": "get",
        "url": "/v1/management/api-keys/{key_id}/usage".format(
            key_id=quote(str(key_id), safe=""),
        ),
        "params": params,
    }

    return _kwargs


def _parse_response(*, client: AuthenticatedClient | Client, response: httpx.Response) -> ApiKeyUsage | ErrorResponse:
    if response.status_code == 200:
        response_200 = ApiKeyUsage.from_dict(response.json())

        return response_200

    if response.status_code == 400:
        response_400 = ErrorResponse.from_dict(response.json())

        return response_400

    if response.status_code == 401:
        response_401 = ErrorResponse.from_dict(response.json())

        return response_401

    if response.status_code == 403:
        response_403 = ErrorResponse.from_dict(response.json())

        return response_403

    if response.status_code == 404:
        response_404 = ErrorResponse.from_dict(response.json())

        return response_404

    if response.status_code == 429:
        response_429 = ErrorResponse.from_dict(response.json())

        return response_429

    response_default = ErrorResponse.from_dict(response.json())

    return response_default


def _build_response(
    *, client: AuthenticatedClient | Client, response: httpx.Response
) -> Response[ApiKeyUsage | ErrorResponse]:
    return Response(
        status_code=HTTPStatus(response.status_code),
        content=response.content,
        headers=response.headers,
        parsed=_parse_response(client=client, response=response),
    )


def sync_detailed(
    key_id: str,
    *,
    client: AuthenticatedClient,
    page: int | Unset = UNSET,
    limit: int | Unset = UNSET,
    model: str | Unset = UNSET,
    scene: str | Unset | UsageSceneKnown = UNSET,
    start_date: str | Unset = UNSET,
    end_date: str | Unset = UNSET,
) -> Response[ApiKeyUsage | ErrorResponse]:
    """What a key was charged for

     Free of charge. It takes a management token. A record has no prompt and no task. When it appears,
    and whether a task that failed leaves one, is not documented (T+).

    Args:
        key_id (str):
        page (int | Unset):
        limit (int | Unset):
        model (str | Unset):
        scene (str | Unset | UsageSceneKnown):
        start_date (str | Unset):
        end_date (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiKeyUsage | ErrorResponse]
    """

    kwargs = _get_kwargs(
        key_id=key_id,
        page=page,
        limit=limit,
        model=model,
        scene=scene,
        start_date=start_date,
        end_date=end_date,
    )

    response = client.get_httpx_client().request(
        **kwargs,
    )

    return _build_response(client=client, response=response)


def sync(
    key_id: str,
    *,
    client: AuthenticatedClient,
    page: int | Unset = UNSET,
    limit: int | Unset = UNSET,
    model: str | Unset = UNSET,
    scene: str | Unset | UsageSceneKnown = UNSET,
    start_date: str | Unset = UNSET,
    end_date: str | Unset = UNSET,
) -> ApiKeyUsage | ErrorResponse | None:
    """What a key was charged for

     Free of charge. It takes a management token. A record has no prompt and no task. When it appears,
    and whether a task that failed leaves one, is not documented (T+).

    Args:
        key_id (str):
        page (int | Unset):
        limit (int | Unset):
        model (str | Unset):
        scene (str | Unset | UsageSceneKnown):
        start_date (str | Unset):
        end_date (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiKeyUsage | ErrorResponse
    """

    return sync_detailed(
        key_id=key_id,
        client=client,
        page=page,
        limit=limit,
        model=model,
        scene=scene,
        start_date=start_date,
        end_date=end_date,
    ).parsed


async def asyncio_detailed(
    key_id: str,
    *,
    client: AuthenticatedClient,
    page: int | Unset = UNSET,
    limit: int | Unset = UNSET,
    model: str | Unset = UNSET,
    scene: str | Unset | UsageSceneKnown = UNSET,
    start_date: str | Unset = UNSET,
    end_date: str | Unset = UNSET,
) -> Response[ApiKeyUsage | ErrorResponse]:
    """What a key was charged for

     Free of charge. It takes a management token. A record has no prompt and no task. When it appears,
    and whether a task that failed leaves one, is not documented (T+).

    Args:
        key_id (str):
        page (int | Unset):
        limit (int | Unset):
        model (str | Unset):
        scene (str | Unset | UsageSceneKnown):
        start_date (str | Unset):
        end_date (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        Response[ApiKeyUsage | ErrorResponse]
    """

    kwargs = _get_kwargs(
        key_id=key_id,
        page=page,
        limit=limit,
        model=model,
        scene=scene,
        start_date=start_date,
        end_date=end_date,
    )

    response = await client.get_async_httpx_client().request(**kwargs)

    return _build_response(client=client, response=response)


async def asyncio(
    key_id: str,
    *,
    client: AuthenticatedClient,
    page: int | Unset = UNSET,
    limit: int | Unset = UNSET,
    model: str | Unset = UNSET,
    scene: str | Unset | UsageSceneKnown = UNSET,
    start_date: str | Unset = UNSET,
    end_date: str | Unset = UNSET,
) -> ApiKeyUsage | ErrorResponse | None:
    """What a key was charged for

     Free of charge. It takes a management token. A record has no prompt and no task. When it appears,
    and whether a task that failed leaves one, is not documented (T+).

    Args:
        key_id (str):
        page (int | Unset):
        limit (int | Unset):
        model (str | Unset):
        scene (str | Unset | UsageSceneKnown):
        start_date (str | Unset):
        end_date (str | Unset):

    Raises:
        errors.UnexpectedStatus: If the server returns an undocumented status code and Client.raise_on_unexpected_status is True.
        httpx.TimeoutException: If the request takes longer than Client.timeout.

    Returns:
        ApiKeyUsage | ErrorResponse
    """

    return (
        await asyncio_detailed(
            key_id=key_id,
            client=client,
            page=page,
            limit=limit,
            model=model,
            scene=scene,
            start_date=start_date,
            end_date=end_date,
        )
    ).parsed
