"""Uploading: who may, what a form may hold, and that a refusal is one clear sentence that leaves nothing."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.distributions import build_wheel
from tests.support.web_house import BOUNDARY, Answer, WebHouse, basic, form, upload_parts


def incoming(house: WebHouse) -> list[Path]:
    return list((house.gatehouse.settings.blobs_folder / "incoming").iterdir())


def refused(house: WebHouse, response: Answer, status: int, code: str) -> str:
    """Assert that a refusal is as it must be; its sentence."""
    assert response.status_int == status
    assert response.headers["Content-Type"] == "application/problem+json"
    problem = response.json
    assert problem["status"] == status
    assert problem["code"] == code
    reason = response.status.partition(" ")[2]
    assert reason[:40] == problem["detail"][:40]
    assert "\r" not in reason
    assert "\n" not in reason
    assert incoming(house) == []
    return str(problem["detail"])


def test_a_good_upload_is_accepted_and_the_same_again_too(house: WebHouse) -> None:
    body = form(upload_parts("twice", "1.0"))
    first, second = house.upload(body), house.upload(body)
    assert (first.status_int, first.body) == (200, b"Accepted.\n")
    assert (second.status_int, second.body) == (200, b"The index holds this file already.\n")


def test_the_address_without_its_slash_takes_uploads_too(house: WebHouse) -> None:
    response = house.ask(
        "/legacy",
        "POST",
        body=form(upload_parts("bare", "1.0")),
        Authorization=basic("__token__", house.token),
        Content_Type=f"multipart/form-data; boundary={BOUNDARY}",
    )
    assert response.status_int == 200


def test_fields_of_pypi_that_we_do_not_use_are_ignored(house: WebHouse) -> None:
    parts = upload_parts("ignored", "1.0", comment="", license="MIT")
    parts += [("classifiers", "A :: B"), ("classifiers", "C :: D"), ("gpg_signature", b"\xff\0", "x.asc")]
    assert house.upload(form(parts)).status_int == 200


class TestWhoMayUpload:
    @pytest.mark.parametrize(
        "authorization",
        [
            None,
            "",
            "Basic",
            "Basic !!!",
            "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
            "Basic " + base64.b64encode(b"__token__").decode(),
            basic("alice", "secret"),
            basic("", "secret"),
            basic("__token__", ""),
            basic("__token__", "gatehouse-"),
            basic("__token__", "gatehouse-AAAA"),
            basic("__token__", "pypi-AgEI"),
            basic("__token__", "x" * 8000),
            basic("__token__", "x" * 20000),
            basic("__token__", "a\r\nb: c"),
            "Bearer gatehouse-AAAA",
            "Digest username=x",
        ],
    )
    def test_without_a_good_token_it_is_401_before_the_form_is_read(
        self, house: WebHouse, authorization: str | None
    ) -> None:
        headers = {} if authorization is None else {"Authorization": authorization}
        response = house.ask("/legacy/", "POST", body=b"not even a form", **headers)
        refused(house, response, 401, "not-authenticated")
        assert response.headers["WWW-Authenticate"].startswith("Basic realm=")

    def test_a_damaged_token_does_not_hold(self, house: WebHouse) -> None:
        damaged = house.token[:-4] + ("AAAA" if not house.token.endswith("AAAA") else "BBBB")
        refused(house, house.upload(b"", token=damaged), 401, "not-authenticated")

    def test_a_revoked_token_ends(self, house: WebHouse) -> None:
        token = house.gatehouse.tokens.create("bob")
        authority = house.gatehouse.tokens.authenticate(token)
        house.gatehouse.tokens.revoke(authority.token_id)
        response = house.upload(form(upload_parts("revoked", "1.0")), token=token)
        assert "revoked" in refused(house, response, 401, "not-authenticated")

    def test_white_space_that_was_pasted_around_a_token_does_no_harm(self, house: WebHouse) -> None:
        response = house.upload(form(upload_parts("pasted", "1.0")), token=f"{house.token}\n")
        assert response.status_int == 200

    def test_a_token_of_one_project_uploads_to_no_other(self, house: WebHouse) -> None:
        token = house.gatehouse.tokens.create("carol", projects=["mine"])
        refused(house, house.upload(form(upload_parts("yours", "1.0")), token=token), 403, "not-allowed")

    def test_anothers_project_is_403(self, house: WebHouse) -> None:
        assert house.upload(form(upload_parts("owned", "1.0"))).status_int == 200
        token = house.gatehouse.tokens.create("mallory")
        refused(house, house.upload(form(upload_parts("owned", "2.0")), token=token), 403, "not-allowed")

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    def test_the_page_of_another_site_cannot_use_a_password_that_a_browser_keeps(
        self, house: WebHouse, site: str
    ) -> None:
        response = house.upload(form(upload_parts("forged", "1.0")), Sec_Fetch_Site=site)
        refused(house, response, 403, "not-allowed")


class TestForms:
    @pytest.mark.parametrize(
        ("content_type", "word"),
        [
            ("", "multipart/form-data"),
            ("application/json", "multipart/form-data"),
            ("application/x-www-form-urlencoded", "multipart/form-data"),
            ("multipart/mixed; boundary=x", "multipart/form-data"),
            ("multipart/form-data", "boundary"),
            ("multipart/form-data; boundary=", "boundary"),
            ('multipart/form-data; boundary=""', "boundary"),
            (f"multipart/form-data; boundary={'b' * 71}", "boundary"),
            ('multipart/form-data; boundary="a\x01b"', "boundary"),
            ("multipart/form-data; boundary=another", "malformed"),
        ],
    )
    def test_a_body_that_is_no_form_is_refused(self, house: WebHouse, content_type: str, word: str) -> None:
        response = house.upload(form(upload_parts("formless", "1.0")), Content_Type=content_type)
        assert word in refused(house, response, 400, "invalid-upload")

    @pytest.mark.parametrize(
        "damage",
        [
            lambda _body: b"",
            lambda body: body[:-4],
            lambda body: body[: len(body) // 2],
            lambda body: body[:30],
            lambda body: b"preamble that is not ended" + body,
            lambda body: body.replace(b"\r\n", b"\n"),
            lambda body: body.replace(b"Content-Disposition", b"Content Disposition"),
            lambda body: body.replace(b"form-data; name", b"attachment; name"),
            lambda body: body.replace(b'name="version"', b"version"),
            lambda body: body.replace(b'name="version"', b'name=""'),
            lambda body: body.replace(b'name="version"', b'name="ver\xffsion"'),
            lambda body: body.replace(b"Content-Disposition: form-data", b"X: " + b"y" * 9000 + b"\r\nA: ", 1),
            lambda body: body.replace(b"Content-Disposition", b"A: b\r\n" * 20 + b"Content-Disposition", 1),
        ],
    )
    def test_a_malformed_form_is_refused(self, house: WebHouse, damage: Callable[[bytes], bytes]) -> None:
        response = house.upload(damage(form(upload_parts("damaged", "1.0"))))
        refused(house, response, 400, "invalid-upload")

    def test_ten_thousand_parts_are_too_many(self, house: WebHouse) -> None:
        parts = [("classifiers", "x")] * 10_000
        assert "1000 parts" in refused(house, house.upload(form(parts)), 400, "invalid-upload")

    def test_one_huge_field_is_too_large(self, house: WebHouse) -> None:
        parts = [("description", b"x" * (2 * 1024 * 1024 + 1)), *upload_parts("huge-field", "1.0")]
        assert "'description'" in refused(house, house.upload(form(parts)), 413, "too-large")

    def test_many_large_fields_are_too_large_together(self, house: WebHouse) -> None:
        parts = [(f"field-{number}", b"x" * 1024 * 1024) for number in range(9)]
        assert "together" in refused(house, house.upload(form(parts)), 413, "too-large")

    def test_a_file_over_the_limit_is_refused_with_the_limit(self, house: WebHouse) -> None:
        limit = house.gatehouse.settings.max_file_size
        parts = [*upload_parts("too-large", "1.0")[:-1], ("content", b"x" * (limit + 1), "too_large-1.0.tar.gz")]
        assert str(limit) in refused(house, house.upload(form(parts)), 413, "too-large")

    def test_two_files_are_refused(self, house: WebHouse) -> None:
        parts = upload_parts("two-files", "1.0")
        assert "more than one" in refused(house, house.upload(form([*parts, parts[-1]])), 400, "invalid-upload")

    def test_no_file_is_refused(self, house: WebHouse) -> None:
        response = house.upload(form(upload_parts("no-file", "1.0")[:-1]))
        assert "'content' is missing" in refused(house, response, 400, "invalid-upload")

    def test_a_file_without_a_filename_is_refused(self, house: WebHouse) -> None:
        parts = [*upload_parts("nameless", "1.0")[:-1], ("content", b"x")]
        assert "filename" in refused(house, house.upload(form(parts)), 400, "invalid-upload")

    def test_a_file_in_another_part_is_refused(self, house: WebHouse) -> None:
        parts = [*upload_parts("elsewhere", "1.0"), ("readme", b"x", "README")]
        assert "'readme'" in refused(house, house.upload(form(parts)), 400, "invalid-upload")

    def test_a_nested_form_is_only_bytes(self, house: WebHouse) -> None:
        inner = form(upload_parts("nested", "1.0")).replace(BOUNDARY.encode(), b"inner")
        parts = [*upload_parts("nested", "1.0")[:-1], ("content", inner, "nested-1.0-py3-none-any.whl")]
        refused(house, house.upload(form(parts)), 400, "invalid-upload")

    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({":action": None}, "':action'"),
            ({":action": "submit"}, "':action'"),
            ({"protocol_version": None}, "'protocol_version'"),
            ({"protocol_version": "2"}, "'protocol_version'"),
            ({"attestations": "[]"}, "attestations"),
            ({"attestations": ""}, "attestations"),
            ({"summary": "nul \0 nul"}, "NUL"),
            ({"sha256_digest": "0" * 64}, "sha256_digest"),
            ({"sha256_digest": None}, "digest"),
        ],
    )
    def test_what_a_form_must_and_must_not_hold(
        self, house: WebHouse, changes: dict[str, str | None], word: str
    ) -> None:
        response = house.upload(form(upload_parts("must-hold", "1.0", None, **changes)))
        assert word in refused(house, response, 400, "invalid-upload")

    def test_stating_the_action_twice_is_refused(self, house: WebHouse) -> None:
        parts = [(":action", "file_upload"), *upload_parts("twice-said", "1.0")]
        refused(house, house.upload(form(parts)), 400, "invalid-upload")

    def test_a_field_that_is_not_utf8_is_refused(self, house: WebHouse) -> None:
        parts = [("summary", b"\xff\xfe"), *upload_parts("latin", "1.0", summary=None)]
        assert "UTF-8" in refused(house, house.upload(form(parts)), 400, "invalid-upload")

    def test_other_content_under_a_name_that_is_taken_conflicts(self, house: WebHouse) -> None:
        assert house.upload(form(upload_parts("taken", "1.0"))).status_int == 200
        filename, data = build_wheel("taken", "1.0", files={"taken/__init__.py": "other = 1\n"})
        response = house.upload(form(upload_parts("taken", "1.0", (filename, data))))
        assert "already exists" in refused(house, response, 409, "conflict")

    def test_every_split_of_the_body_between_two_reads_gives_the_same(self, house: WebHouse) -> None:
        # The end of the form falls on a border of what is read at once.
        parts = upload_parts("borders", "1.0")
        body = form(parts)
        for slack in range(-3, 4):
            padding = 65536 - (len(body) + slack) % 65536 - len(form([("pad", b"")], end=b""))
            padded = form([("pad", b"x" * (padding % 65536)), *parts])
            assert house.upload(padded).status_int == 200


class TestHeaderInjection:
    """Whatever a stranger wrote, a reason stays one printable line and no header is added."""

    EVIL = "evil\r\nSet-Cookie: stolen=1\r\n\r\n<script>"

    @pytest.mark.parametrize(
        "name",
        [
            "evil%0D%0ASet-Cookie: a=1",
            "evil\\r\\n",
            "\u202e.whl",
            "é\x80\x9fü.whl",
            "x" * 4000,
            "..%2f..%2fpasswd",
        ],
    )
    def test_in_the_filename(self, house: WebHouse, name: str) -> None:
        parts = [*upload_parts("injected", "1.0")[:-1], ("content", b"x", name)]
        response = house.upload(form(parts))
        assert response.status_int == 400
        reason = response.status.partition(" ")[2]
        assert reason.isprintable()
        assert len(reason) <= 240
        assert reason.encode("latin-1")
        assert "Set-Cookie" not in response.headers

    @pytest.mark.parametrize("field", ["name", "version", "filetype", "sha256_digest"])
    def test_in_a_field(self, house: WebHouse, field: str) -> None:
        response = house.upload(form(upload_parts("injected", "1.0", None, **{field: self.EVIL})))
        assert response.status_int == 400
        assert response.status.isprintable()
        assert "Set-Cookie" not in response.headers

    def test_in_the_name_of_a_part(self, house: WebHouse) -> None:
        parts = [("x%0D%0ASet-Cookie: a", b"y", "z"), *upload_parts("injected", "1.0")]
        response = house.upload(form(parts))
        assert response.status_int == 400
        assert response.status.isprintable()

    def test_in_the_user_agent_nothing_breaks(self, house: WebHouse) -> None:
        response = house.upload(form(upload_parts("agent", "1.0")), User_Agent="x\ty\x01" + "z" * 9000)
        assert response.status_int == 200
