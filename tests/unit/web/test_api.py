"""The JSON API: what owners do, strict bodies, and a description that is true to the routes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from pyramid.interfaces import IRoutesMapper

from tests.support.web_house import Answer, WebHouse, basic, form, upload_parts

JSON = "application/vnd.pypi.simple.v1+json"


def call(
    house: WebHouse, method: str, path: str, body: object = None, *, raw: bytes = b"", **headers: str
) -> Answer:
    headers.setdefault("Authorization", f"Bearer {house.token}")
    if body is not None:
        raw = json.dumps(body).encode()
    if raw:
        headers.setdefault("Content_Type", "application/json")
    return house.ask(f"/api/v1/projects/{path}", method, body=raw, **headers)


def publish(house: WebHouse, name: str, *versions: str) -> list[str]:
    filenames = []
    for version in versions:
        parts = upload_parts(name, version)
        assert house.upload(form(parts)).status_int == 200
        filenames.append(str(parts[-1][-1]))
    house.publish()
    return filenames


def page(house: WebHouse, name: str) -> dict[str, Any]:
    house.publish()
    document: dict[str, Any] = house.ask(f"/simple/{name}/", Accept=JSON).json
    return document


def test_a_yank_shows_on_the_page_and_can_be_taken_back(house: WebHouse) -> None:
    publish(house, "yanked", "1.0", "2.0")
    assert call(house, "PUT", "yanked/releases/1.0/yank", {"reason": "wrong licence"}).status_int == 204
    assert [file["yanked"] for file in page(house, "yanked")["files"]] == ["wrong licence", False]
    # Name and version in other spellings are the same.
    assert call(house, "DELETE", "Yanked/releases/1.0.0/yank").status_int == 204
    assert [file["yanked"] for file in page(house, "yanked")["files"]] == [False, False]


@pytest.mark.parametrize("body", [None, {}, {"reason": None}])
def test_a_yank_needs_no_reason(house: WebHouse, body: object) -> None:
    publish(house, "unreasoned", "1.0")
    assert call(house, "PUT", "unreasoned/releases/1.0/yank", body).status_int == 204


def test_a_deleted_file_leaves_page_and_address(house: WebHouse) -> None:
    gone, stays = publish(house, "thinned", "1.0", "2.0")
    response = call(house, "DELETE", f"thinned/releases/1.0/files/{gone}")
    assert (response.status_int, response.body) == (204, b"")
    assert [file["filename"] for file in page(house, "thinned")["files"]] == [stays]
    assert house.ask(f"/files/thinned/{gone}").status_int == 404


def test_a_deleted_release_leaves_the_page(house: WebHouse) -> None:
    publish(house, "shorter", "1.0", "2.0")
    assert call(house, "DELETE", "shorter/releases/1.0").status_int == 204
    assert page(house, "shorter")["versions"] == ["2.0"]


def test_a_deleted_project_has_no_page(house: WebHouse) -> None:
    publish(house, "leaving", "1.0")
    assert call(house, "DELETE", "leaving").status_int == 204
    house.publish()
    assert house.ask("/simple/leaving/").status_int == 404


def test_a_status_shows_on_the_page(house: WebHouse) -> None:
    publish(house, "resting", "1.0")
    assert call(house, "PUT", "resting/status", {"status": "archived", "reason": "done"}).status_int == 204
    assert page(house, "resting")["project-status"] == {"status": "archived", "reason": "done"}


def test_basic_authentication_is_taken_too(house: WebHouse) -> None:
    publish(house, "basically", "1.0")
    response = call(house, "PUT", "basically/releases/1.0/yank", Authorization=basic("__token__", house.token))
    assert response.status_int == 204


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x", "Bearer gatehouse-AAAA", basic("bob", "x")])
def test_without_a_good_token_it_is_401(house: WebHouse, authorization: str) -> None:
    response = call(house, "DELETE", "anything", Authorization=authorization)
    assert response.status_int == 401
    assert response.json["code"] == "not-authenticated"
    assert response.status == "401 Unauthorized"


def test_anothers_project_is_403(house: WebHouse) -> None:
    publish(house, "defended", "1.0")
    token = house.gatehouse.tokens.create("mallory-api")
    assert call(house, "DELETE", "defended", Authorization=f"Bearer {token}").status_int == 403


@pytest.mark.parametrize(
    "path",
    ["unknown-project", "unknown-project/releases/1.0", "unknown-project/releases/1.0/files/x.whl"],
)
def test_what_does_not_exist_is_404(house: WebHouse, path: str) -> None:
    assert call(house, "DELETE", path).status_int == 404


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "%00",
        "x" * 3000,
        "a/releases/not a version",
        "a/releases/%0d%0aSet-Cookie:x",
        "a%2fb",
        "a/releases/1.0/files/..%2f..",
    ],
)
def test_names_outside_their_grammar_are_refused_in_one_sentence(house: WebHouse, path: str) -> None:
    publish(house, "a", "1.0")
    response = call(house, "DELETE", path)
    assert response.status_int in {400, 404, 405}
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "Set-Cookie" not in response.headers


class TestBodies:
    @pytest.mark.parametrize(
        "raw",
        [
            b"{",
            b"\xff\xfe",
            b"[]",
            b'"text"',
            b"null",
            b"NaN",
            b'{"reason": NaN}',
            b'{"reason": 1}',
            b'{"reason": ["x"]}',
            b'{"reason": "x", "reason": "y"}',
            b'{"reason": "x", "other": "y"}',
            b'{"\\ud800": "y"}',
            b"[" * 60_000,
            b'{"reason": ' + b"9" * 60_000 + b"}",
            b'{"reason": "two\\nlines"}',
            b'{"reason": "' + b"x" * 501 + b'"}',
        ],
    )
    def test_a_body_that_is_not_what_it_must_be_is_400(self, house: WebHouse, raw: bytes) -> None:
        response = call(house, "PUT", "sample-thing/releases/1.0/yank", raw=raw)
        assert response.status_int == 400
        assert response.json["code"] == "bad-request"

    def test_a_body_of_more_than_64_kib_is_413(self, house: WebHouse) -> None:
        response = call(house, "PUT", "sample-thing/releases/1.0/yank", {"reason": "x" * 65536})
        assert response.status_int == 413

    def test_a_body_of_another_type_is_400(self, house: WebHouse) -> None:
        response = call(house, "PUT", "sample-thing/releases/1.0/yank", {}, Content_Type="text/plain")
        assert "application/json" in response.json["detail"]

    @pytest.mark.parametrize("body", [None, {}, {"status": None}, {"status": "quarantined"}, {"status": "odd"}])
    def test_a_status_must_be_one_that_an_owner_may_choose(self, house: WebHouse, body: object) -> None:
        publish(house, "choosy", "1.0")
        assert call(house, "PUT", "choosy/status", body).status_int == 400

    def test_a_body_where_none_belongs_is_400(self, house: WebHouse) -> None:
        assert call(house, "DELETE", "sample-thing", {"sure": "yes"}).status_int == 400


class TestDescription:
    @pytest.fixture
    def document(self, house: WebHouse) -> dict[str, Any]:
        document: dict[str, Any] = house.ask("/api/v1/openapi.json").json
        return document

    def test_it_names_exactly_the_routes_and_methods_that_there_are(
        self, house: WebHouse, document: dict[str, Any]
    ) -> None:
        app: Any = house.app
        routes = app.registry.getUtility(IRoutesMapper).get_routes()
        real = {
            (route.pattern, method)
            for route in routes
            if route.pattern.startswith("/api/v1/")
            for method in methods(app, route.name)
        }
        described = {
            (path, method.upper())
            for path, item in document["paths"].items()
            for method in item
            if method != "parameters"
        }
        assert described == real
        assert len(real) > 5

    def test_its_references_resolve_and_its_parameters_stand_in_the_paths(self, document: dict[str, Any]) -> None:
        assert document["openapi"].startswith("3.1")
        text = json.dumps(document)
        for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', text)):
            node: Any = document
            for step in reference.split("/"):
                node = node[step]
        for path, item in document["paths"].items():
            stated = {entry["$ref"].rsplit("/", 1)[1] for entry in item.get("parameters", [])}
            assert stated == set(re.findall(r"\{(\w+)\}", path))

    def test_every_operation_that_acts_states_that_it_needs_a_token(self, document: dict[str, Any]) -> None:
        for item in document["paths"].values():
            for method, operation in item.items():
                if method not in {"get", "parameters"}:
                    assert operation["security"]
                    assert "401" in operation["responses"]


def methods(app: Any, route: str) -> set[str]:
    """The methods that a route answers with something else than 405."""
    allowed: set[str] = set()
    for entry in app.registry.introspector.get_category("views"):
        view = entry["introspectable"]
        if view["route_name"] == route and view["request_methods"]:
            declared = view["request_methods"]
            allowed |= {declared} if isinstance(declared, str) else set(declared)
    return allowed - {"HEAD"}
