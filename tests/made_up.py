"""Contracts that are made up for a test: the frozen one with more in it, and what regeneration makes of them."""

from __future__ import annotations

import json
from functools import cache
from types import SimpleNamespace

import lemon_client.model_table

from lemon_ext import capabilities
from tests.conftest import FROZEN, ROOT

TABLE = ("MODELS", "PARAMETERS", "RELATIONS", "REQUIRED", "SOURCES")


def contract(*, parameters=None, rows=None, between=None, sources=None):
    """Return the frozen contract as data, with more parameters, rows, rules between parameters and sources."""
    data = json.loads((FROZEN / "lemon_client" / "openapi.json").read_text(encoding="utf-8"))
    request = data["components"]["schemas"]["ImageGenerationRequest"]
    request["properties"] |= parameters or {}
    request |= between or {}
    if between:  # the examples need not fit it
        del data["paths"]["/v1/images/generations"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    if sources:  # and what the frozen contract names itself
        data["x-lemon-sources"] = {**dict.fromkeys(_named(data), "a page"), **sources}
    data["x-lemon-models"] = {**(rows or {}), **data["x-lemon-models"]}
    return data


def _named(node):
    """Return the documents that a contract names, wherever a `source` stands in it."""
    if isinstance(node, list):
        return {name for one in node for name in _named(one)}
    if not isinstance(node, dict):
        return set()
    own = node["source"].split(", ") if isinstance(node.get("source"), str) else []
    return {*own, *(name for one in node.values() for name in _named(one))}


def use(monkeypatch, data):
    """Make the validator and the command line work by a contract. Returns what regeneration makes of it."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    table, page = made(json.dumps(data))
    for module in (lemon_client.model_table, capabilities):
        for name in TABLE:
            if hasattr(module, name):
                monkeypatch.setattr(module, name, table[name])
    return SimpleNamespace(page=page, **{name: table[name] for name in TABLE})


@cache
def made(text):
    """Return the table as a namespace, and the page."""
    import derive
    import lint

    contract, table = lint.load(text), {}
    exec(derive.model_table(contract), table)  # the generated module
    return table, derive.models_page(contract)
