"""`/files/…`: distribution files and, beside each, its core metadata (PEP 658, PEP 714).

What lies here never changes under its name, so caches may keep it for ever. It goes out as it was uploaded,
as bytes without a type, so that no browser ever renders or runs it.
"""

from __future__ import annotations

from pyramid.config import Configurator

from gatehouse.core.errors import NotFound
from gatehouse.gate.purge import files_key
from gatehouse.gate.serve import ServedFile
from gatehouse.web.replies import IMMUTABLE, REVALIDATE, Reply, blob_reply, redirect
from gatehouse.web.request import Request
from gatehouse.web.surrogates import keyed

_METADATA = ".metadata"


def includeme(config: Configurator) -> None:
    """Files by project and filename."""
    config.add_resource("files", "/files/{name}/{filename}", {"GET": file})


def file(request: Request) -> Reply:
    """A distribution file, or its core metadata."""
    name, filename = request.matchdict["name"], request.matchdict["filename"]
    shelf = request.gatehouse.shelf
    if filename.endswith(_METADATA):
        served = shelf.core_metadata(name, filename.removesuffix(_METADATA))
    else:
        served = shelf.file(name, filename)
    return keyed(request, file_reply(request, served, cache_control=IMMUTABLE), files_key(name))


def file_reply(request: Request, served: ServedFile | None, *, cache_control: str) -> Reply:
    """A blob as bytes without a type, from here or from where it lies.

    Raises:
        NotFound: there is none.
    """
    if served is None:
        raise NotFound("There is no such file here.")
    if served.external_url is not None:
        return redirect(served.external_url, cache_control=REVALIDATE)
    return blob_reply(
        request,
        request.gatehouse.blobs,
        sha256=served.sha256,
        length=served.length,
        content_type="application/octet-stream",
        cache_control=cache_control,
    )
