"""The nasty list: always a clear refusal, nothing written, never a 500."""

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import AuditEvent
from billing.api.json import read
from billing.errors import InvalidRequest, PayloadTooLarge
from billing.models import Charge, Customer, Grant, LedgerEntry, Meter, OutboxEvent, Plan, Subscription, UsageEvent
from tests.billing.api.conftest import Api, cloud_event, problem
from tests.billing.api.test_parameters import declared
from tests.builders import Shop

WRITES = [
    "/customers",
    "/customers/acme/grants",
    "/customers/acme/adjustments",
    "/events/one/reverse",
    "/events/one/refund",
    "/assets",
    "/meters",
    "/plans",
    "/plans/pro/versions",
    "/subscriptions",
    "/events",
]


def written() -> list[int]:
    tables = (Charge, Customer, Grant, LedgerEntry, Meter, OutboxEvent, Plan, Subscription, UsageEvent)
    # The key that a test is given leaves a line of its own.
    trail = AuditEvent.objects.exclude(object_type="api_key")
    return [trail.count(), *(table.objects.count() for table in tables)]


@pytest.fixture(autouse=True)
def _nothing_is_written(shop: Shop, api: Api) -> Iterator[None]:
    """Whatever the test sends, it must not leave a row."""
    shop.customer(usd="100")
    before = written()
    yield
    assert written() == before


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


BODIES = {
    "nothing": "",
    "spaces": "   ",
    "half": '{"a": 1',
    "more than one": "{} {}",
    "a comma too many": '{"a": 1,}',
    "single quotes": "{'a': 1}",
    "a comment": "{} // x",
    "NaN": '{"amount": NaN}',
    "Infinity": '{"amount": Infinity}',
    "minus Infinity": '{"amount": -Infinity}',
    "1e400": '{"amount": 1e400}',
    "1e-400": '{"amount": 1e-400}',
    "an exponent beyond any": '{"amount": 1e999999999999999999999}',
    "zero with a huge exponent": '{"amount": 0e99999999}',
    "zero with a tiny exponent": '{"amount": 0e-99999999}',
    "a thousand digits": '{"amount": ' + "9" * 1000 + "}",
    "a million digits": '{"amount": ' + "9" * 1_000_000 + "}",
    "hexadecimal": '{"amount": 0x10}',
    "a plus sign": '{"amount": +1}',
    "a leading zero": '{"amount": 01}',
    "a key twice": '{"amount": "1", "amount": "2"}',
    "a key twice below": '{"a": {"b": 1, "b": 2}}',
    "NUL in a string": '{"name": "a\\u0000b"}',
    "NUL in a key": '{"a\\u0000b": 1}',
    "NUL as it is": '{"name": "a\x00b"}',
    "half a surrogate pair": '{"name": "\\ud800"}',
    "the other half": '{"name": "\\udc00x"}',
    "half a pair in a key": '{"\\ud800": 1}',
    "a newline in a string": '{"name": "a\nb"}',
    "50 levels of lists": deep(50),
    "50 levels of objects": '{"a":' * 50 + "1" + "}" * 50,
    "100000 levels": deep(100_000),
    "unclosed levels": "[" * 100_000,
    "not UTF-8": b'{"name": "\xff"}',
    "UTF-16": '{"name": "x"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"name": "x"}',
    "an overlong encoding": b'{"name": "\xc0\x80"}',
    "a surrogate in UTF-8": b'{"name": "\xed\xa0\x80"}',
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_what_is_no_strict_json_is_refused_everywhere(api: Api, body: str | bytes) -> None:
    for path in WRITES:
        problem(api.post(path, body), 400, "invalid_request")


@pytest.mark.parametrize(
    "body", ["null", "true", "7", '"text"', "[]", "[[]]", '[{"a": 1}]', "{}", '{"": 1}', '{"nothing": 1}']
)
def test_json_of_another_shape_is_refused_everywhere(api: Api, body: str) -> None:
    for path in WRITES:
        if path == "/events" and body in {"[[]]", '[{"a": 1}]'}:
            assert [r["code"] for r in api.post(path, body).json()["results"]] == ["invalid_request"]
        else:
            problem(api.post(path, body), 400, "invalid_request")
    for path in ("/customers/acme/wallet", "/customers/acme"):
        if (path, body) != ("/customers/acme", "{}"):
            problem(api.send("PATCH", path, body), 400, "invalid_request")


def test_a_body_of_more_than_five_mebibytes_is_too_large_everywhere(api: Api) -> None:
    body = json.dumps({"name": "x" * 6 * 1024 * 1024})

    for path in WRITES:
        problem(api.post(path, body), 413, "payload_too_large")


def test_a_body_of_just_five_mebibytes_is_read(api: Api) -> None:
    filler = 5 * 1024 * 1024 - len(json.dumps(cloud_event("x" * 300, padding="")))

    problem(api.post("/events", cloud_event("x" * 300, padding="y" * filler)), 400, "invalid_request", "id", "padding")


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonp",
        "application/cloudevents+xml",
        "nonsense",
    ],
)
def test_another_content_type_is_refused_everywhere(api: Api, content_type: str) -> None:
    for path in WRITES:
        response = api.post(path, cloud_event(), content_type)
        problem(response, 415, "unsupported_media_type")


def test_unknown_fields_are_named(api: Api) -> None:
    for path in WRITES:
        refused = problem(api.post(path, {"Amont": "1", "x" * 300: 1, "available": "5"}), 400, "invalid_request")
        assert {"Amont"} <= {error["field"] for error in refused["errors"]}


FORBIDDEN = [
    *("id", "remaining", "held", "drawn", "expired", "voided", "posted", "open", "status", "created_at"),
    *("customer_id", "balance_id", "organization", "seq", "lifetime_granted"),
]


@pytest.mark.parametrize("field", FORBIDDEN)
def test_what_only_we_decide_cannot_be_sent_along(api: Api, field: str) -> None:
    grant = {"asset": "usd", "amount": "1", "kind": "promotional", field: "1"}

    problem(api.post("/customers/acme/grants", grant), 400, "invalid_request", field)


@pytest.mark.parametrize(
    "path",
    [
        "/customers/a%00b",
        "/customers/a%00b/wallet",
        "/customers/a%00b/grants",
        "/customers/a%00b/ledger",
        "/customers/%ff%fe",
        "/customers/%ed%a0%80",
        "/plans/a%00b",
        "/plans/a%00b/versions",
        "/events/a%00b",
        "/events/%00",
        "/events/a%0Ab",
        "/nothing%0A",
        "/customers/" + "x" * 5000,
        "/nothing",
        "/",
        "/customers/",
        "/events/",
        "/customers/acme/wallet/",
        "/customers/acme/../globex",
        "/%00",
    ],
)
def test_a_path_that_leads_nowhere_is_not_found_for_every_method(api: Api, path: str) -> None:
    problem(api.get(path), 404, "not_found")
    if path in {"/nothing", "/", "/%00"}:
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            problem(api.send(method, path, {}), 404, "not_found")


@pytest.mark.parametrize("accept", ["text/html", "*/*;q=nonsense"])
def test_odd_headers_break_nothing(api: Api, accept: str) -> None:
    assert api.post("/customers", "{}", accept=accept).status_code in {400, 406}
    assert api.post("/events", "{}", accept=accept).status_code in {400, 406}


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br", "identity, gzip"])
def test_what_is_said_to_be_encoded_is_refused_also_where_it_could_be_read(api: Api, encoding: str) -> None:
    customer = {"external_id": "globex", "name": "Globex", "currency": "usd"}
    grant = {"asset": "usd", "amount": "1", "kind": "promotional"}
    for path, valid in [("/customers", customer), ("/customers/acme/grants", grant), ("/events", cloud_event())]:
        for body in (json.dumps(valid), gzip.compress(json.dumps(valid).encode())):
            problem(api.post(path, body, content_encoding=encoding), 415, "unsupported_media_type")
            problem(api.post(path, body, content_encoding=encoding, idempotency_key="k"), 415, "unsupported_media_type")
    for no_encoding in ("identity", ""):
        problem(api.post("/customers", {}, content_encoding=no_encoding), 400, "invalid_request")
        problem(api.post("/events", {}, content_encoding=no_encoding), 400, "invalid_request")


def test_no_route_takes_what_is_said_to_be_encoded(api: Api) -> None:
    writes = [call.split(" /api/v1") for call, _ in declared() if not call.startswith("GET ")]
    for method, path in writes:
        address = re.sub(r"{\w+}", str(UUID(int=7)), path)
        problem(api.send(method, address, {}, content_encoding="br"), 415, "unsupported_media_type")
    assert len(writes) >= 40


def test_what_would_take_long_to_read_is_too_large(api: Api) -> None:
    """Known from its bytes: what is no JSON at all is refused for its size first."""
    for part in ("1.1,", '{"a":1.5},', "[],", "{},", "1e1,", ","):
        body = f"[{part * 400_000}0]"
        problem(api.post("/events", body), 413, "payload_too_large")
        problem(api.post("/customers", body), 413, "payload_too_large")
    with pytest.raises(PayloadTooLarge):
        read(b"{" + b",".join(b'"%d":1' % number for number in range(10_001)) + b"}")
    assert len(read(b"{" + b",".join(b'"%d":1' % number for number in range(10_000)) + b"}")) == 10_000


def test_the_richest_batch_is_read() -> None:
    data = {f"field_{number}": [number, number * 1.5, "a text"][number % 3] for number in range(60)}

    found = read(json.dumps([cloud_event(f"event-{number}", data=data) for number in range(1000)]).encode())

    assert (len(found), found[999]["data"]["field_1"]) == (1000, Decimal("1.5"))


@pytest.mark.parametrize("field", ["id", "source", "type", "subject"])
def test_the_same_letters_in_another_form_are_refused(api: Api, field: str) -> None:
    name = "cafe\N{COMBINING ACUTE ACCENT}"
    customer = {"external_id": name, "name": name, "currency": "usd"}

    problem(api.post("/events", cloud_event() | {field: name}), 400, "invalid_request", field)
    problem(api.post("/customers", customer), 400, "invalid_request", "external_id")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["NaN", "1e400", "0e-9999", "-1", "\x00", "\ud800", "9" * 40, "acme", "usd"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["id", "data", "time", "model", "x", "\x00", ""]) | st.text(max_size=3), inner, max_size=3
        )
    ),
    max_leaves=6,
)
FIELDS = {
    "/customers": ["external_id", "name", "currency", "email", "country", "timezone", "metadata"],
    "/customers/acme/grants": [
        "asset",
        "amount",
        "kind",
        "priority",
        "expires_at",
        "effective_at",
        "paid",
        "applies_to",
    ],
    "/customers/acme/adjustments": ["asset", "amount", "reason", "allow_debt"],
    "/events/one/reverse": ["reason"],
    "/events/one/refund": ["asset", "amount", "reason"],
    "/assets": ["code", "name", "kind", "precision"],
    "/meters": ["code", "name", "event_type", "aggregation", "value", "filter", "dimensions", "unit"],
    "/plans": ["code", "name", "currency", "interval", "prices"],
    "/plans/pro/versions": ["interval", "prices"],
    "/subscriptions": ["customer", "plan", "starts_at"],
    "/events": [
        "specversion",
        "id",
        "source",
        "type",
        "subject",
        "time",
        "data",
        "datacontenttype",
        "dataschema",
        "ext",
    ],
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_json_at_all_is_refused_or_taken_and_never_breaks(api: Api, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(WRITES))
    body = data.draw(
        st.dictionaries(st.sampled_from(FIELDS[path]), json_values, max_size=len(FIELDS[path])) | json_values
    )

    response = api.post(path, json.dumps(body))

    if response.status_code == 200:
        assert path == "/events"
        assert isinstance(body, list)
        assert response.json()["rejected"] == len(body)
    else:
        assert response.status_code in {400, 404}, (path, body, response.content)
        assert response["Content-Type"] == "application/problem+json"


# --- The reader itself ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 20])
def test_twenty_levels_are_read(levels: int) -> None:
    assert read(deep(levels).encode()) is not None


def test_twenty_one_levels_are_refused_wherever_the_brackets_stand() -> None:
    with pytest.raises(InvalidRequest, match="nested more than 20 levels"):
        read(deep(21).encode())
    assert read(json.dumps({"text": "[" * 100 + '"{' * 50}).encode())["text"].startswith("[[[")
    assert len(read(json.dumps([[]] * 500).encode())) == 500


def test_a_key_that_is_there_twice_is_named() -> None:
    with pytest.raises(InvalidRequest) as refusal:
        read(b'{"a": 1, "b": 2, "a": 3}')

    assert [(error.field, error.code) for error in refusal.value.errors] == [("a", "duplicate")]


def test_numbers_are_exact() -> None:
    text = b"[0.1, 1e-7, 123456789012345678901234567890, -0.0, 1.50, 7]"

    numbers = ["0.1", "1E-7", "123456789012345678901234567890", "0.0", "1.50", "7"]
    assert list(map(str, read(text))) == numbers


def test_whole_pairs_of_surrogates_are_characters() -> None:
    assert read(rb'"\ud83d\ude42"') == "🙂"


def test_too_much_is_refused_before_it_is_read() -> None:
    with pytest.raises(PayloadTooLarge):
        read(b" " * (5 * 1024 * 1024 + 1))


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with suppress(InvalidRequest):
        assert read(body) is not ...
