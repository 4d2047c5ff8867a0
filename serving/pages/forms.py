"""Forms of the pages: read, protected against forged requests, and answered by a redirect with a notice.

A browser sends cookies along with a request that another site started. Each form therefore carries a token
that such a site cannot know: a signature of a random value in a cookie of its own and of the session
(the signed double-submit pattern of OWASP's cheat sheet on cross-site request forgery).
"""

from __future__ import annotations

import base64
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request, Response
from pydantic import AfterValidator, BaseModel, ValidationError
from starlette.responses import RedirectResponse

from recsys.errors import Forbidden, Invalid
from recsys.settings import get_settings
from recsys.web.access.signing import is_signed, sign
from recsys.web.dependencies import TOKEN_COOKIE
from recsys.web.errors import field_problems

__all__ = [
    "FORM_COOKIE",
    "NOTICE_COOKIE",
    "TOKEN_FIELD",
    "LocalPath",
    "Notice",
    "SubmittedForm",
    "form_token",
    "local_path",
    "notice_of",
    "read_form",
    "redirect",
    "set_page_cookie",
    "submitted",
    "with_form_cookie",
]

FORM_COOKIE, NOTICE_COOKIE = "recsys_form", "recsys_notice"
TOKEN_FIELD = "form_token"
_PURPOSE, _NOTICE_PURPOSE = b"page form", b"page notice"
_MOST_FIELDS = 500
_URLENCODED = "application/x-www-form-urlencoded"
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Notice:
    """A line that the next page displays once."""

    text: str
    kind: Literal["done", "failed"] = "done"


@dataclass(frozen=True)
class SubmittedForm:
    """The fields of a form; those without a value are missing."""

    fields: Mapping[str, Sequence[str]]

    def text(self, name: str, default: str = "") -> str:
        """The last value of a field, without blanks around it."""
        values = self.fields.get(name)
        return default if not values else values[-1].strip()

    def texts(self, name: str) -> list[str]:
        """All values of a field, such as of several checked boxes."""
        return [value.strip() for value in self.fields.get(name, ())]

    def version(self) -> int | None:
        """The version that the editor saw; None where the form has none."""
        text = self.text("version")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

    def model(self, schema: type[Model], **more: Any) -> Model:
        """The fields as a model; `more` goes over them. Raises Invalid, naming the fields."""
        values: dict[str, Any] = {
            name: self.text(name) for name in schema.model_fields if self.text(name) != ""
        }
        try:
            return schema.model_validate({**values, **more})
        except ValidationError as error:
            faults = field_problems(error.errors())
            wrong = "; ".join(f"{fault.field.replace('_', ' ')}: {fault.expected}" for fault in faults)
            raise Invalid(f"Nothing was changed. {wrong}") from error


def form_token(request: Request) -> str:
    """The token of this browser's forms; `with_form_cookie` must be applied to the answer."""
    return _signature(_form_nonce(request), request)


def with_form_cookie(request: Request, response: Response) -> None:
    """Set the cookie that the tokens of this answer belong to, unless the browser has it."""
    if FORM_COOKIE not in request.cookies and hasattr(request.state, "form_nonce"):
        set_page_cookie(response, FORM_COOKIE, request.state.form_nonce, strict=True)


def set_page_cookie(
    response: Response,
    name: str,
    value: str,
    *,
    seconds: int | None = None,
    strict: bool = False,
    path: str = "/",
) -> None:
    """Set a cookie that scripts cannot read; outside development only over HTTPS."""
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=path,
        httponly=True,
        secure=get_settings().environment == "production",
        samesite="strict" if strict else "lax",
    )


async def read_form(request: Request) -> SubmittedForm:
    """The form that a request brings. Raises Invalid for another kind of body, Forbidden for a forged one."""
    # browsers say where a request was started; a form of another site stops here whatever its cookies
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Forbidden("This request comes from another site. Open the page here and send the form again.")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = await request.body()
    if body and kind != _URLENCODED:
        raise Invalid(f"A form of these pages is sent as {_URLENCODED}.")
    try:
        pairs = parse_qsl(
            body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except ValueError as error:
        raise Invalid("The form cannot be read; open the page and send it again.") from error
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        if "\x00" in value:
            raise Invalid("A field of the form holds a character that cannot be stored.")
        fields.setdefault(name, []).append(value)
    token = fields.pop(TOKEN_FIELD, [""])[-1]
    nonce = request.cookies.get(FORM_COOKIE)
    if nonce is None or not hmac.compare_digest(token.encode(), _signature(nonce, request).encode()):
        raise Forbidden(
            "This form is too old, or this page did not make it. Open the page again and repeat what you did."
        )
    return SubmittedForm(fields)


def submitted(request: Request) -> SubmittedForm:
    """A dependency: the form of this request, which the page's route has read and checked."""
    form: SubmittedForm = request.state.form
    return form


def redirect(to: str, notice: str | None = None, kind: Literal["done", "failed"] = "done") -> Response:
    """Lead to a page, which displays the notice. Raises Invalid for an address of another site."""
    response = RedirectResponse(local_path(to), 303, headers={"Cache-Control": "no-store"})
    if notice is not None:
        text = json.dumps([kind, notice[:500]]).encode()
        signed = base64.urlsafe_b64encode(sign(_NOTICE_PURPOSE, text) + text).decode("ascii")
        set_page_cookie(response, NOTICE_COOKIE, signed, seconds=60)
    return response


def notice_of(request: Request) -> Notice | None:
    """The notice that the last form left; None without one, or with one of another maker."""
    try:
        data = base64.urlsafe_b64decode(request.cookies.get(NOTICE_COOKIE, "").encode("ascii"))
    except ValueError:
        return None
    signature, text = data[:16], data[16:]
    if not text or not is_signed(_NOTICE_PURPOSE, text, signature):
        return None
    kind, words = json.loads(text)
    return Notice(words, kind)


def local_path(address: str) -> str:
    """The address, when it is a path of this server. Raises Invalid."""
    try:
        return _is_local(address)
    except ValueError as error:
        raise Invalid("The address to go to is not a path of this server.") from error


def _is_local(address: str) -> str:
    if not address.startswith("/") or address.startswith(("//", "/\\")) or any(c < " " for c in address):
        raise ValueError("a path of this server")
    return address


LocalPath = Annotated[str, AfterValidator(_is_local)]
"""Field of a form: the page to return to."""


def _form_nonce(request: Request) -> str:
    nonce = request.cookies.get(FORM_COOKIE) or getattr(request.state, "form_nonce", None)
    if nonce is None:
        nonce = request.state.form_nonce = secrets.token_urlsafe(16)
    return str(nonce)


def _signature(nonce: str, request: Request) -> str:
    # bound to the session: a token is worth nothing after another log-in
    data = f"{nonce}\0{request.cookies.get(TOKEN_COOKIE, '')}".encode("utf-8", "surrogateescape")
    return base64.urlsafe_b64encode(sign(_PURPOSE, data)).decode("ascii").rstrip("=")
