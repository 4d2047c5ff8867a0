"""`recsys.js`: lists, search and events for the pages of a shop, at an address that names its content.

`/recsys.js` leads to the version that this server has, `/recsys.HASH.js` is that version for good. A page of
another origin loads it as a module, so it is readable by all.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Path as PathParameter
from pydantic import BaseModel, Field
from starlette.responses import RedirectResponse

from recsys.web.errors import problem_responses
from recsys.web.query_parameters import with_prefix

__all__ = ["STABLE_PATH", "Script", "router", "script", "snippet"]

STABLE_PATH = "/recsys.js"
_SOURCE = Path(__file__).with_name("recsys.js")
_MEDIA_TYPE = "text/javascript; charset=utf-8"
# a script may be read by every page; it holds nothing of anybody
_FOR_ALL = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
_FOR_GOOD = "public, max-age=31536000, immutable"
_STABLE_SECONDS = 300

router = APIRouter(tags=["web pages"])


class Script(BaseModel):
    """The script of web pages."""

    path: str = Field(examples=["/recsys.0f3c9a1b2d4e5f60.js"], description="Of this version, for good.")
    stable_path: str = Field(examples=[STABLE_PATH], description="Leads to the version of this server.")
    integrity: str = Field(
        examples=["sha384-oqVuAfXRKap7fdgcCY5uykM6+R9GqQ8K/uxy9rx7HNQlGYl1kPzQho1wx4JwY8wC"],
        description="For the attribute `integrity` of a script element with `path` (Subresource Integrity).",
    )
    bytes: int
    gzip_bytes: int


@lru_cache(maxsize=1)
def _content() -> tuple[bytes, bytes, str]:
    """The script, its gzip form, and the part of its address that names the content."""
    plain = _SOURCE.read_bytes()
    return plain, gzip.compress(plain, 9, mtime=0), hashlib.sha256(plain).hexdigest()[:16]


def script() -> Script:
    """The address and the integrity hash of this version."""
    plain, packed, name = _content()
    digest = base64.b64encode(hashlib.sha384(plain).digest()).decode("ascii")
    return Script(
        path=f"/recsys.{name}.js",
        stable_path=STABLE_PATH,
        integrity=f"sha384-{digest}",
        bytes=len(plain),
        gzip_bytes=len(packed),
    )


def snippet(api: str, key: str, *, pinned: bool = False) -> str:
    """The line of HTML for the pages of a shop.

    Parameters
    ----------
    pinned
        With this version and its integrity hash.
    """
    api = api.rstrip("/")
    if not pinned:
        return f'<script type="module" src="{api}{STABLE_PATH}" data-key="{key}"></script>'
    this = script()
    return (
        f'<script type="module" src="{api}{this.path}" integrity="{this.integrity}" crossorigin '
        f'data-key="{key}"></script>'
    )


_JAVASCRIPT: dict[int | str, dict[str, Any]] = {200: {"content": {"text/javascript": {}}}}


@with_prefix("")
async def _any_parameter() -> None:
    """Accept every query parameter: shops and their page builders add `?ver=6.5` or `?v=…` to scripts."""


# asynchronous, so that they take no thread
@router.get(
    STABLE_PATH,
    dependencies=[Depends(_any_parameter)],
    status_code=307,
    response_class=Response,
    responses={
        # what clients that follow it get
        200: {"description": "The script.", "content": {"text/javascript": {}}},
        307: {"description": "To the version of this server, for five minutes."},
    },
)
async def stable_script() -> Response:
    """Lead to the script of web pages."""
    return _to_this_version(f"public, max-age={_STABLE_SECONDS}")


@router.get(
    "/recsys.{version}.js",
    dependencies=[Depends(_any_parameter)],
    response_class=Response,
    responses={
        **_JAVASCRIPT,
        307: {"description": "Another version; to that of this server."},
        **problem_responses(422),
    },
)
async def versioned_script(
    request: Request,
    version: Annotated[str, PathParameter(pattern="^[0-9a-f]{16}$", examples=["0f3c9a1b2d4e5f60"])],
) -> Response:
    """The script of web pages. The address of another version leads to this one."""
    plain, packed, name = _content()
    if version != name:
        return _to_this_version("no-store")
    headers = {**_FOR_ALL, "Cache-Control": _FOR_GOOD, "Vary": "Accept-Encoding", "ETag": f'"{name}"'}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(plain, media_type=_MEDIA_TYPE, headers=headers)
    return Response(packed, media_type=_MEDIA_TYPE, headers={**headers, "Content-Encoding": "gzip"})


@router.get("/api/v1/browser-script")
async def describe_script() -> Script:
    """The address and the integrity hash of the script of web pages."""
    return script()


def _to_this_version(cache_control: str) -> Response:
    # relative: behind a proxy the path before it is not known here
    address = script().path.removeprefix("/")
    return RedirectResponse(address, 307, headers={**_FOR_ALL, "Cache-Control": cache_control})
