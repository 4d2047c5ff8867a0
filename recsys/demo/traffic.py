"""Visitors of the demo shop front over HTTP: they look around, click in lists, search, buy and dismiss.

Each visit is a browser of its own with cookies, a guest session and the key of the page. It reports what
`recsys.js` reports, so that the console and A/B tests have something to show. Visits repeat with the seed as
far as the shop answers the same.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError

from recsys.demo.browser import ShopBrowser
from recsys.errors import Invalid, Unavailable

__all__ = ["TrafficReport", "send_traffic"]

Progress = Callable[[int, int, int], None]
"""Called with (seconds since the start, seconds in all, visits that have ended)."""

_HOUSEHOLD_SHARE = 0.7
_HOUSEHOLD_PAGES = 4
_LISTS = (("for_you", 12), ("buy_again", 6), ("because_you_viewed", 6), ("trending", 6), ("new_arrivals", 6))
_FADING = 0.86
"""A product one place further down is clicked so much less often."""
_CLICK_SHARE = {"for_you": 0.16, "buy_again": 0.2, "trending": 0.06, "new_arrivals": 0.05}
_OTHER_CLICK_SHARE = 0.1
_SEARCH_SHARE, _CATEGORY_SHARE, _CART_SHARE, _ORDER_SHARE = 0.3, 0.3, 0.4, 0.65
_DISMISS_SHARE, _DECLINED_SHARE = 0.03, 0.06
_MOST_PRODUCTS = 6
_MOST_FAILED_VISITS = 5


@dataclass
class TrafficReport:
    """How often visitors did what.

    Attributes
    ----------
    sold_out
        Carts and orders that the shop refused because its stock is short; no failure.
    failures
        Visits that broke off, by the error.
    """

    seconds: float = 0.0
    visits: int = 0
    households: int = 0
    guests: int = 0
    pages: int = 0
    lists: int = 0
    seen_in_lists: int = 0
    clicked_in_lists: int = 0
    views: int = 0
    searches: int = 0
    put_into_carts: int = 0
    orders: int = 0
    declined_payments: int = 0
    sold_out: int = 0
    dismissals: int = 0
    failures: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The counts, for scripts."""
        return asdict(self)


def send_traffic(
    address: str, *, minutes: float, visitors: int, pause: float, seed: int, progress: Progress
) -> TrafficReport:
    """Send visitors to the shop front at `address` for so many minutes; returns what they did.

    Parameters
    ----------
    address
        The server, such as http://127.0.0.1:8000.
    minutes
        How long visitors come.
    visitors
        Visits at the same time.
    pause
        Seconds between two steps of a visitor, on average.
    seed
        Chooses the visitors and what they do.
    progress
        What is called as the time passes.

    Raises
    ------
    Unavailable
        No server answers there, or it stopped doing so.
    Invalid
        The shop front is not served there.
    """
    seconds = minutes * 60
    households = _households(address, seed)
    done = _Totals()
    began = time.monotonic()
    ends = began + seconds
    stop = threading.Event()

    def visit_until_the_end(place: int) -> None:
        number = place
        while time.monotonic() < ends and not stop.is_set():
            visit = _Visit(address, random.Random(f"{seed}:{number}"), households, pause, ends, stop)
            try:
                visit.run()
            except (OSError, ValueError, LookupError) as error:
                if done.failed(f"{type(error).__name__}: {error}"[:120]):
                    stop.set()
            done.add(visit)
            number += visitors

    with ThreadPoolExecutor(visitors, thread_name_prefix="visitor") as threads:
        running = [threads.submit(visit_until_the_end, place) for place in range(visitors)]
        try:
            while not all(each.done() for each in running):
                progress(min(int(time.monotonic() - began), int(seconds)), int(seconds), done.report.visits)
                stop.wait(0.5)
        finally:
            # Ctrl-C ends the visits too
            stop.set()
        for each in running:
            each.result()
    done.report.seconds = round(time.monotonic() - began, 1)
    if done.failed_in_a_row >= _MOST_FAILED_VISITS:
        reason = next(iter(done.report.failures), "")
        raise Unavailable(f"the shop front at {address} stopped answering ({reason}); see the API's log")
    return done.report


def _households(address: str, seed: int) -> Sequence[str]:
    """Usernames of whom a visitor can be, in the order of the seed."""
    browser = ShopBrowser(address)
    usernames: list[str] = []
    path: str | None = "/shop/visitors"
    try:
        for _ in range(_HOUSEHOLD_PAGES):
            if path is None:
                break
            page = browser.json(path)
            usernames += [user["username"] for user in page["users"]]
            path = page["next"]
    except OSError as error:
        if getattr(error, "code", None) == 404:
            raise Invalid(
                f"the demo shop front is not served at {address}; start the API with RECSYS_SHOP__FRONT=true"
            ) from error
        raise Unavailable(
            f"no shop front answers at {address} ({error}); start it with `recsys serve api`, or name it by "
            "--api"
        ) from error
    random.Random(seed).shuffle(usernames)
    return usernames


class _Totals:
    """Sums of all visits, from their threads."""

    def __init__(self) -> None:
        self.report = TrafficReport()
        self.failed_in_a_row = 0
        self._lock = threading.Lock()

    def failed(self, reason: str) -> bool:
        """Count a failure; True when the shop seems to be gone."""
        with self._lock:
            self.report.failures[reason] = self.report.failures.get(reason, 0) + 1
            self.failed_in_a_row += 1
            return self.failed_in_a_row >= _MOST_FAILED_VISITS

    def add(self, visit: _Visit) -> None:
        """Add what a visit did."""
        with self._lock:
            if visit.counts["orders"] or visit.counts["views"]:
                self.failed_in_a_row = 0
            self.report.visits += 1
            for name, count in visit.counts.items():
                setattr(self.report, name, getattr(self.report, name) + count)


class _Visit:
    """One visit; `counts` has the names of `TrafficReport`."""

    def __init__(
        self,
        address: str,
        chance: random.Random,
        households: Sequence[str],
        pause: float,
        ends: float,
        stop: threading.Event,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._browser = ShopBrowser(address)
        self._chance, self._households = chance, households
        self._pause, self._ends, self._stop = pause, ends, stop
        self._clicks: dict[int, str] = {}

    def run(self) -> None:
        """Walk through the shop until the visitor leaves or the time is over."""
        self._page("/shop")
        if self._households and self._chance.random() < _HOUSEHOLD_SHARE:
            self._browser.form(
                "/shop/visitor", {"username": self._chance.choice(self._households), "back": "/shop"}
            )
            self._page("/shop")
            self._browser.log_in()
            self.counts["households"] += 1
        else:
            self.counts["guests"] += 1
        products = self._from_lists([(placement, limit, None) for placement, limit in _LISTS])
        if self._chance.random() < _SEARCH_SHARE:
            products += self._from_search()
        if self._chance.random() < _CATEGORY_SHARE:
            products += self._from_category()
        in_cart = 0
        for product in products[:_MOST_PRODUCTS]:
            if self._is_over():
                return
            in_cart += self._look_at(product)
        if in_cart and self._chance.random() < _ORDER_SHARE and not self._is_over():
            self._order()

    def _is_over(self) -> bool:
        """Whether the time is over, after a moment of thought."""
        wait = min(
            self._chance.expovariate(1 / self._pause) if self._pause else 0.0, self._ends - time.monotonic()
        )
        return self._stop.wait(max(0.0, wait)) or time.monotonic() >= self._ends

    def _page(self, path: str) -> None:
        self._browser.page(path)
        self.counts["pages"] += 1

    def _from_lists(self, lists: Sequence[tuple[str, int, str | None]]) -> list[dict[str, Any]]:
        """Look at lists as they are scrolled into view, and return the products that were clicked."""
        chosen: list[dict[str, Any]] = []
        feedback: list[dict[str, Any]] = []
        for placement, limit, sku in lists:
            items, request_id = self._browser.recommendations(placement, limit, sku)
            self.counts["lists"] += 1
            looked_at = items[: self._chance.randint(2, max(2, len(items)))] if items else []
            share = _CLICK_SHARE.get(placement, _OTHER_CLICK_SHARE)
            for place, item in enumerate(looked_at):
                about = {"product_id": item["product_id"], "request_id": request_id}
                feedback.append({**about, "feedback_type": "shown"})
                self.counts["seen_in_lists"] += 1
                if self._chance.random() < share * _FADING**place:
                    feedback.append({**about, "feedback_type": "clicked"})
                    self.counts["clicked_in_lists"] += 1
                    self._clicks[item["product_id"]] = request_id
                    chosen.append(item)
                elif placement == "for_you" and item["sku"] and self._chance.random() < _DISMISS_SHARE:
                    self._browser.event({"sku": item["sku"], "interaction_type": "dismissed"})
                    self.counts["dismissals"] += 1
        self._browser.feedback(feedback)
        return chosen

    def _from_search(self) -> list[dict[str, Any]]:
        words = self._browser.words
        if not words:
            return []
        query = self._chance.choice(words)
        page = self._browser.json("/shop/search", {"q": query})
        self.counts["pages"] += 1
        self.counts["searches"] += 1
        found = page["products"]
        if not found or self._chance.random() < 0.3:
            return []
        product = found[min(len(found) - 1, int(self._chance.expovariate(0.5)))]
        self._browser.search_click(
            {
                "search_id": page["search_id"],
                "query": query,
                "product_id": product["id"],
                "position": product["position"],
            }
        )
        return [{**product, "product_id": product["id"]}]

    def _from_category(self) -> list[dict[str, Any]]:
        departments = self._browser.departments
        if not departments:
            return []
        page = self._browser.json(self._chance.choice(departments), {"sort": "popularity"})
        self.counts["pages"] += 1
        found = page["products"]
        return [{**found[int(self._chance.random() ** 2 * len(found))], "product_id": None}] if found else []

    def _look_at(self, product: dict[str, Any]) -> int:
        """Open a product, perhaps put it into the cart; returns how many were."""
        number = product["product_id"] or product["id"]
        self._page(f"/shop/products/{number}")
        if product["sku"]:
            self._browser.event({"sku": product["sku"], "interaction_type": "view"})
            self.counts["views"] += 1
            self._from_lists([("bought_together", 6, product["sku"]), ("similar", 6, product["sku"])])
        if self._is_over() or self._chance.random() >= _CART_SHARE:
            return 0
        amount = self._chance.choice((1, 1, 1, 2, 3))
        if self._sent("/shop/cart", {"product": number, "quantity": amount}) is None:
            return 0
        self._attribute("carted", number)
        self.counts["put_into_carts"] += 1
        self.counts["pages"] += 1
        return 1

    def _order(self) -> None:
        form = self._browser.checkout_form()
        self.counts["pages"] += 1
        declined = self._chance.random() < _DECLINED_SHARE
        place = self._sent("/shop/checkout", {**form, "card": "tok_declined" if declined else "tok_visa"})
        if place is None:
            return
        if declined:
            self.counts["declined_payments"] += 1
            return
        order = self._browser.json(place.partition("?")[0])
        for line in order["lines"]:
            self._attribute("purchased", line["product"])
        self.counts["orders"] += 1

    def _sent(self, path: str, fields: Mapping[str, object]) -> str | None:
        """Send a form; None where the stock is short, since another visitor was quicker."""
        try:
            return self._browser.form(path, fields)
        except HTTPError as error:
            if error.code != HTTPStatus.CONFLICT:
                raise
            self.counts["sold_out"] += 1
            return None

    def _attribute(self, kind: str, product: int) -> None:
        request_id = self._clicks.get(product)
        if request_id is not None:
            self._browser.feedback([{"product_id": product, "request_id": request_id, "feedback_type": kind}])
