"""A browser of the demo's traffic: pages with cookies and forms, and what `recsys.js` sends."""

from __future__ import annotations

import html
import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.cookiejar import CookieJar
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit

__all__ = ["ShopBrowser"]

_SCRIPT = re.compile(r'data-key="(pk_[^"]+)" data-session="([^"]+)"')
_TOKEN = re.compile(r'name="form_token" value="([^"]+)"')
_DEPARTMENT = re.compile(r'href="(/shop/categories/\d+)"')
_FIELD = re.compile(r'<input[^>]* name="(name|email|address|city|zip|country|key)"[^>]*>')
_VALUE = re.compile(r' value="([^"]*)"')
_OF_PRODUCT = {"similar": "similar", "bought_together": "bought-together"}
_TIMEOUT = 20.0
_MOST_WORDS = 60
_MOST_WAITS = 30
"""So often a request that came too soon waits and is sent again."""


class ShopBrowser:
    """One visitor's browser at the shop front of `address`.

    Every method raises OSError where the server does not answer or refuses.

    Attributes
    ----------
    words
        Words of the names of products in its lists, to search for.
    departments
        Addresses of categories.
    """

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        # straight to our own API: a proxy of the environment has no business with it
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(CookieJar()), _NoRedirect()
        )
        self._key = self._session = self._form_token = ""
        self._bearer: str | None = None
        self.words: list[str] = []
        self.departments: list[str] = []

    def page(self, path: str) -> str:
        """The HTML of a page; its key, session and form token are kept."""
        text = self._open(path).decode("utf-8")
        if (script := _SCRIPT.search(text)) is not None:
            key, session = script.groups()
            if session != self._session:
                self._bearer = None
            self._key, self._session = key, session
        if (token := _TOKEN.search(text)) is not None:
            self._form_token = html.unescape(token[1])
        self.departments = list(dict.fromkeys(_DEPARTMENT.findall(text))) or self.departments
        return text

    def json(self, path: str, parameters: Mapping[str, object] | None = None) -> dict[str, Any]:
        """The content of a page as JSON."""
        mark = "&" if "?" in path else "?"
        content: dict[str, Any] = json.loads(
            self._open(f"{path}{mark}{urlencode({'format': 'json', **(parameters or {})})}")
        )
        return content

    def form(self, path: str, fields: Mapping[str, object]) -> str:
        """Send a form of the last page; returns the address that the server leads to."""
        body = urlencode({**fields, "form_token": self._form_token}).encode()
        request = urllib.request.Request(self._address + path, body, {"Sec-Fetch-Site": "same-origin"})
        with self._answer(request) as answer:
            return str(answer.headers.get("Location", path))

    def checkout_form(self) -> dict[str, str]:
        """The fields of the form of an order, as the page fills them in."""
        text = self.page("/shop/checkout")
        fields = {}
        for match in _FIELD.finditer(text):
            value = _VALUE.search(match[0])
            fields[match[1]] = "" if value is None else html.unescape(value[1])
        return fields

    def log_in(self) -> None:
        """Get the user token of the visitor, as the script of the page does."""
        self._bearer = self._open("/shop/user-token").decode("ascii") or None

    def recommendations(
        self, placement: str, limit: int, sku: str | None = None
    ) -> tuple[Sequence[dict[str, Any]], str]:
        """The products of a list and the id of the response."""
        query = f"limit={limit}&fields=sku,name,price,currency,image,url"
        if placement in _OF_PRODUCT:
            path = f"/api/v1/products/sku:{quote(sku or '', safe='')}/{_OF_PRODUCT[placement]}?{query}"
        else:
            path = f"/api/v1/recommendations?placement={placement}&{query}"
        answer = self._call("GET", path)
        self._learn_words(answer["items"])
        return answer["items"], answer["provenance"]["request_id"]

    def event(self, interaction: Mapping[str, object]) -> None:
        """Report an interaction."""
        self._call("POST", "/api/v1/interactions", interaction)

    def feedback(self, several: Sequence[Mapping[str, object]]) -> None:
        """Report what became of the products of lists."""
        if several:
            self._call("POST", "/api/v1/recommendations/feedback", list(several))

    def search_click(self, click: Mapping[str, object]) -> None:
        """Report that a product of a search was opened."""
        self._call("POST", "/api/v1/search/clicks", click)

    def _learn_words(self, items: Sequence[Mapping[str, Any]]) -> None:
        for item in items:
            words = re.findall(r"[A-Za-z]{4,}", str(item["name"]).partition(",")[0])
            self.words += words[-1:]
        self.words = list(dict.fromkeys(self.words))[-_MOST_WORDS:]

    def _open(self, path: str) -> bytes:
        request = urllib.request.Request(self._address + path, headers={"Sec-Fetch-Site": "same-origin"})
        with self._answer(request) as answer:
            content: bytes = answer.read()
            return content

    def _answer(self, request: urllib.request.Request) -> Any:
        """The response; all visitors share the limit of their address, so one may have to wait."""
        waits = 0
        while True:
            try:
                return self._opener.open(request, timeout=_TIMEOUT)
            except HTTPError as error:
                after = error.headers.get("Retry-After", "")
                if error.code != HTTPStatus.TOO_MANY_REQUESTS or not after.isdigit() or waits == _MOST_WAITS:
                    raise
                error.close()
            waits += 1
            time.sleep(int(after))

    def _call(self, method: str, path: str, body: object = None) -> Any:
        """A call of the script: with the key of the page, the guest's session and the user's token."""
        headers = {"X-Api-Key": self._key, "X-Session-Id": self._session, "Content-Type": "application/json"}
        headers["Origin"] = "{0.scheme}://{0.netloc}".format(urlsplit(self._address))
        if self._bearer is not None:
            headers["Authorization"] = f"Bearer {self._bearer}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._address + path, data, headers, method=method)
        with self._answer(request) as answer:
            content = answer.read()
            return json.loads(content) if content else None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Answers a redirect as it is: a form's result is where it leads."""

    def http_error_303(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any) -> Any:
        return fp

    http_error_302 = http_error_307 = http_error_303
