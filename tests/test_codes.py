"""What an error code means stands in the contract: what is ambiguous is refused, the rest is typed Python."""

from __future__ import annotations

import pytest
from lemon_client.error_table import ERROR_CODES, ErrorCode

from tests.edits import edit, findings

CODE = "  quota_exceeded: {status: 402, meaning: money, source: E}"
SEEN = "  moderation_blocked: {status: 400, meaning: moderation, source: elsewhere}"
KEY = "x-lemon-error-codes"


@pytest.mark.regen
@pytest.mark.parametrize(
    ("old", "new", "place", "reason"),
    [
        (CODE, CODE.replace("money", "moneys"), "quota_exceeded.meaning", "no meaning: did you mean money?"),
        (CODE, CODE.replace("money", "x"), "quota_exceeded.meaning", "'x' is no meaning: there are: request, model"),
        (CODE, CODE.replace("402", "200"), "quota_exceeded.status", "200 is no HTTP status of an error"),
        (CODE, CODE.replace("402", "[402, '403']"), "quota_exceeded.status", "'403' is no HTTP status of an error"),
        (CODE, CODE.replace(", source: E", ""), "quota_exceeded.source", "where is it from?"),
        (CODE, CODE.replace("source", "sauce"), "quota_exceeded", "'sauce' is not known here: write status, meaning"),
        (CODE, "  quota exceeded: {meaning: money, source: E}", "['quota exceeded']", "it has no spaces"),
        (CODE, "  quota_exceeded: money", "quota_exceeded", "says status, meaning and source"),
        (CODE, f"{CODE}\n{CODE}", "YAML", "duplicate key"),
        # Every code that an example shows is in the table, with its status.
        ("  rate_limit_exceeded: {status: 429, meaning: rate, source: E}\n", "",
         "components.responses.TooManyRequests.content['application/json'].examples.limit",
         f"its code 'rate_limit_exceeded' is not in {KEY}: add it there, with what it means"),
        ("  rate_limit_exceeded: {status: 429", "  rate_limit_exceeded: {status: 503", "TooManyRequests",
         f"{KEY} does not say that 'rate_limit_exceeded' comes with 429"),
        ("error: The prompt was refused by the content policy", "error: {message: x, code: new_policy}",
         "examples.failed", "its code 'new_policy' is not in"),
    ],
)  # fmt: skip
def test_a_code_that_says_too_little_is_refused(tools, old, new, place, reason):
    found = findings(tools, edit((old, new)))
    assert any(place in one.place and reason in one.reason for one in found), "\n".join(map(str, found))


@pytest.mark.regen
def test_sources_are_those_of_the_legend_where_there_is_one(tools):
    legend = "x-lemon-sources: {SEED: the page, E: the pages, E-spec: the spec, L: later pages}\n\nx-lemon-models:"
    found = findings(tools, edit(("\nx-lemon-models:", f"\n{legend}")))
    assert [one.reason for one in found] == 5 * ["x-lemon-sources does not say what 'elsewhere' is"]


@pytest.mark.regen
def test_a_contract_without_codes_has_an_empty_table(tools):
    table = {}
    exec(tools.codes.error_table(tools.contract.Contract({})), table)
    assert table["ERROR_CODES"] == {}
    assert tools.codes.codes_section(tools.contract.Contract({})) == ""


@pytest.mark.parametrize(
    ("code", "meaning", "statuses"),
    [
        ("invalid_api_key", "auth", (401,)),
        ("insufficient_balance", "money", (402,)),
        ("quota_exceeded", "money", (402,)),
        ("model_not_allowed", "permission", (403,)),
        ("model_not_found", "model", (400, 404)),
        ("payload_too_large", "size", (413,)),
        ("rate_limit_exceeded", "rate", (429,)),
        ("all_channels_failed", "capacity", (503,)),
    ],
)
def test_the_table_says_what_the_documents_say(code, meaning, statuses):
    assert ERROR_CODES[code] == ErrorCode(meaning, statuses, "E")


def test_codes_seen_elsewhere_alone_say_so():
    moderation = {code for code, entry in ERROR_CODES.items() if entry.meaning == "moderation"}
    assert moderation | {"billing_hard_limit_reached", "insufficient_user_quota"} == {
        code for code, entry in ERROR_CODES.items() if entry.source == "elsewhere"
    }
