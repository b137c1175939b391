"""`POST /legacy/`: PyPI's upload API, as twine and `uv publish` speak it.

Who uploads is known before a byte of the body is parsed. The file streams into the blob store while it is
counted; nothing of it stays unless `gate.accept` keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog
from pyramid.config import Configurator

from gatehouse.core.errors import InvalidUpload
from gatehouse.web.credentials import authenticate
from gatehouse.web.multipart import FormLimits, read_form
from gatehouse.web.replies import Reply, text_reply
from gatehouse.web.request import Request

_MAX_USER_AGENT = 500
log = structlog.get_logger(__name__)


def includeme(config: Configurator) -> None:
    """The upload endpoint, with and without its last slash."""
    config.add_resource("upload", "/legacy/", {"POST": upload})
    config.add_resource("upload-bare", "/legacy", {"POST": upload})


def upload(request: Request) -> Reply:
    """Take one file. The same file again is no fault."""
    gatehouse = request.gatehouse
    authority = authenticate(request)
    limits = FormLimits(content=gatehouse.settings.max_file_size)
    with gatehouse.blobs.receive() as content:
        form = read_form(
            request.body_file.read, request.headers.get("Content-Type"), limits=limits, write=content.write
        )
        filename = _checked(form.fields, form.filename)
        accepted = gatehouse.accept(
            authority=authority,
            fields=form.fields,
            filename=filename,
            content=content,
            digests=content.finish(),
            user_agent=_user_agent(request),
        )
    log.info(
        "accepted",
        project=accepted.file.project,
        filename=filename,
        account=authority.account.name,
        already=accepted.already,
    )
    return text_reply("The index holds this file already.\n" if accepted.already else "Accepted.\n")


def _checked(fields: Mapping[str, Sequence[str]], filename: str | None) -> str:
    if fields.get(":action") != ["file_upload"]:
        raise InvalidUpload("The upload form must state ':action' once, as 'file_upload'.")
    if fields.get("protocol_version") != ["1"]:
        raise InvalidUpload("The upload form must state 'protocol_version' once, as '1'.")
    if "attestations" in fields:
        # Taking them and dropping them would let a publisher believe that users can check them.
        raise InvalidUpload("This index does not take attestations yet: upload without them.")
    if filename is None:
        raise InvalidUpload("The upload form holds no file: the part 'content' is missing.")
    return filename


def _user_agent(request: Request) -> str | None:
    stated = request.headers.get("User-Agent")
    if not stated:
        return None
    return "".join(character if character.isprintable() else "?" for character in stated[:_MAX_USER_AGENT])
