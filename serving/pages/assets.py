"""Styles and scripts of the pages, at addresses that name their content.

The files lie in the folders `static/` of the packages of pages. One version covers all of them, so that a
script may import its neighbour by a relative address.
"""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Request, Response
from fastapi import Path as PathParameter
from starlette.responses import RedirectResponse

from recsys.errors import NotFound

__all__ = ["StaticFile", "asset", "router", "static_files", "version"]

_SERVING = Path(__file__).resolve().parents[1]
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_FOR_GOOD = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class StaticFile:
    """One file, plain and packed with gzip."""

    content: bytes
    packed: bytes
    media_type: str


@lru_cache(maxsize=1)
def static_files() -> dict[str, StaticFile]:
    """Each file by PACKAGE/NAME, such as pages/tokens.css."""
    paths = sorted(path for path in _SERVING.glob("*/static/*") if path.suffix in _MEDIA_TYPES)
    files = {}
    for path in paths:
        content = path.read_bytes()
        files[f"{path.parents[1].name}/{path.name}"] = StaticFile(
            content, gzip.compress(content, 9, mtime=0), _MEDIA_TYPES[path.suffix]
        )
    return files


@lru_cache(maxsize=1)
def version() -> str:
    """The first 16 hexadecimal digits of the SHA-256 of all files and their names."""
    digest = hashlib.sha256()
    for name, file in static_files().items():
        digest.update(f"{name}\0{len(file.content)}\0".encode())
        digest.update(file.content)
    return digest.hexdigest()[:16]


def asset(name: str) -> str:
    """The address of a file. Raises KeyError for a name that does not exist: a template is wrong."""
    if name not in static_files():
        raise KeyError(name)
    return f"/assets/{version()}/{name}"


# asynchronous, so that it takes no thread
@router.get("/assets/{release}/{name:path}", response_class=Response)
async def static_file(
    request: Request,
    release: Annotated[str, PathParameter(max_length=64)],
    name: Annotated[str, PathParameter(max_length=200)],
) -> Response:
    """A style or script; the address of another version leads to this one."""
    file = static_files().get(name)
    if file is None:
        raise NotFound("There is no such file.")
    if release != version():
        return RedirectResponse(asset(name), 307, headers={"Cache-Control": "no-store"})
    headers = {"Cache-Control": _FOR_GOOD, "Vary": "Accept-Encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.content, media_type=file.media_type, headers=headers)
    return Response(file.packed, media_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"})
