"""Web pages with `recsys.js` in a real browser: lists, search and events, and what arrives in the tables."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Route

from recsys.settings import get_settings
from serving.server.app import create_app
from tests.journeys.browser.web import FEEDBACK, HOME, ITEMS, Web, product_of, web
from tests.serving.conftest import no_hurry, open_shop, scored_shop, shop_snapshots, trained_shop
from tests.serving.running import running
from tests.support.web.browser import CHROMIUM, NO_BROWSER

__all__ = ["no_hurry", "open_shop", "scored_shop", "shop_snapshots", "trained_shop", "web"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)

EVENTS = "SELECT product_id, interaction_type, session_id FROM recommendations_db.user_interactions WHERE "
FROM_PAGES = EVENTS + "session_id IS NOT NULL "


SHIFTS = """
window.shifts = [];
const plain = ({value, startTime}) => ({value, startTime});
new PerformanceObserver((list) => shifts.push(...list.getEntries().map(plain)))
  .observe({type: 'layout-shift', buffered: true});
const frame = () => new Promise((resolve) => requestAnimationFrame(() => resolve()));
customElements.whenDefined('recsys-list').then(frame).then(frame)
  .then(() => { window.drawn = performance.now(); });
"""


def test_two_lines_of_html_bring_lists_and_report_what_visitors_do(web: Web) -> None:
    home = web.visit()
    page = home.page
    page.wait_for_selector(ITEMS)
    assert page.locator(ITEMS).count() == 4
    # half of each is visible for a second
    shown = web.wait_for(FEEDBACK + "feedback_type = 'shown'", 4)
    assert len({product for product, _ in shown}) == 4
    page.locator(f"{ITEMS} a").nth(1).click()
    page.wait_for_url("**/p/*")
    product = product_of(page)
    page.wait_for_selector(ITEMS)
    assert product in {product for product, _ in shown}
    assert web.wait_for(FEEDBACK + "feedback_type = 'clicked'", 1) == [(product, "clicked")]
    (view,) = web.wait_for(FROM_PAGES + "AND interaction_type = 'view'", 1)
    assert view[0] == product
    # what was clicked in a list and is bought counts for that list; a repeat of the order is the same order
    page.get_by_role("button", name="Buy").click()
    page.get_by_role("button", name="Buy").click()
    assert web.wait_for(FEEDBACK + "feedback_type = 'purchased'", 1) == [(product, "purchased")]
    web.wait_for(FROM_PAGES + "AND interaction_type = 'purchase'", 1)
    # one visitor, whom the list was for
    assert len({row[2] for row in web.rows(FROM_PAGES)}) == 1
    assert home.errors == []


def test_events_arrive_once_though_the_api_stops_and_answers_get_lost(web: Web) -> None:
    home = web.visit()
    page = home.page
    page.wait_for_selector(ITEMS)
    web.wait_for(FEEDBACK + "feedback_type = 'shown'", 4)
    web.stop()
    page.evaluate("for (const sku of ['sku1', 'sku2', 'sku3']) recsys.track('like', {sku})")
    page.evaluate("document.querySelector('recsys-list').setAttribute('limit', '5')")
    # two failed attempts, and a list that stays as it is meanwhile
    page.wait_for_timeout(5_000)
    assert page.locator(ITEMS).count() == 4
    lost = []

    def lose(route: Route) -> None:
        if lost:
            route.continue_()
            return
        # the server has the events, the page does not know it
        lost.append(route.fetch().status)
        route.abort()

    page.route("**/api/v1/interactions", lose)
    web.start()
    likes = web.wait_for(FROM_PAGES + "AND interaction_type = 'like'", 3)
    assert {product for product, _, _ in likes} == {1, 2, 3}
    page.wait_for_function("!localStorage.getItem('recsys.queue')")
    assert lost == [200]
    page.wait_for_function(
        "document.querySelector('recsys-list').shadowRoot.querySelectorAll('li[part=item]').length === 5"
    )
    assert len(web.rows(FROM_PAGES + "AND interaction_type = 'like'")) == 3
    assert home.errors == []


def test_a_page_without_the_api_has_its_own_content_and_no_error(web: Web) -> None:
    web.stop()
    home = web.visit()
    page = home.page
    page.wait_for_timeout(1_000)
    assert page.get_by_text("End").is_visible()
    assert home.errors == []
    # with the script from the browser's cache, a list waits in its place
    web.start()
    page.goto(web.site.origin)
    page.wait_for_selector(ITEMS)
    web.stop()
    page.evaluate("document.body.append(Object.assign(document.createElement('recsys-list')))")
    page.wait_for_function("document.querySelectorAll('recsys-list')[1].getAttribute('state') === 'empty'")
    web.start()
    page.wait_for_function("document.querySelectorAll('recsys-list')[1].getAttribute('state') === 'ready'")
    assert home.errors == []


def test_events_of_a_page_that_is_left_arrive(web: Web) -> None:
    home = web.visit()
    page = home.page
    page.wait_for_selector(ITEMS)
    page.evaluate("recsys.track('like', {sku: 'sku7'}); location.assign('about:blank')")
    assert [row[0] for row in web.wait_for(FROM_PAGES + "AND interaction_type = 'like'", 1)] == [7]
    assert home.errors == []


def test_a_phone_gets_lists_that_do_not_move_the_page(web: Web) -> None:
    # the page keeps the place of its list until the script is there; from then on the skeleton does
    reserved = "<style>recsys-list { display: block; min-height: 40rem }</style>" + HOME[HOME.index("<h1>") :]
    web.write(reserved=reserved, empty="<p>Empty</p>")
    phone = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "has_touch": True}
    for path in ("/reserved", "/"):
        home = web.visit("/empty", **phone)
        page = home.page
        page.add_init_script(SHIFTS)
        page.goto(web.site.origin + path)
        page.wait_for_selector(ITEMS)
        page.wait_for_timeout(500)
        since = "location.pathname === '/' ? drawn : 0"
        shifts = page.evaluate(f"shifts.filter(({{startTime}}) => startTime > ({since}))")
        assert shifts == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    boxes = [box for item in page.locator(ITEMS).all() if (box := item.bounding_box()) is not None]
    assert len(boxes) == 4
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= 360 for box in boxes)
    assert home.errors == []


def test_lists_of_a_page_are_one_request_and_repeat_noproduct_of(web: Web) -> None:
    lists = "".join(
        f'<recsys-list placement="{placement}" limit="4"></recsys-list>'
        for placement in ("for_you", "trending", "popular", "popular")
    )
    web.write(many=lists, wrong=lists + '<recsys-list category="no such category"></recsys-list>')
    home = web.visit("/many")
    home.page.wait_for_function("document.querySelectorAll('recsys-list[state=ready]').length === 4")
    assert [each.split("?")[0] for each in home.requests if "/recommendations" in each] == [
        f"POST {web.api}/api/v1/recommendations"
    ]
    links = home.page.locator(f"{ITEMS} a").evaluate_all("(all) => all.map((each) => each.href)")
    assert len(links) == 16
    assert len(set(links)) == 16
    # the others are answered though one is refused
    page = web.visit("/wrong").page
    page.wait_for_function("document.querySelectorAll('recsys-list[state=ready]').length === 4")
    page.wait_for_selector("recsys-list[category][state=empty]", state="attached")
    assert home.errors == []


def test_an_event_without_a_product_is_refused_where_it_is_made(web: Web) -> None:
    page = web.visit().page
    page.wait_for_selector(ITEMS)
    for call in ("'like'", "'like', {sku: ''}", "'purchase', {id: 'o', items: [{sku: 'sku1'}, {}]}"):
        refusal = f"(() => {{ try {{ recsys.track({call}) }} catch (error) {{ return error.message }} }})()"
        assert "needs a sku" in page.evaluate(refusal)
    assert web.rows(FROM_PAGES) == []


def test_without_consent_nothing_is_stored_and_no_event_is_sent(web: Web) -> None:
    page_with_choice = HOME.replace("data-key", 'data-consent="required" data-key')
    web.site.pages["/"] = web.filled(page_with_choice)
    home = web.visit()
    page = home.page
    page.wait_for_selector(ITEMS)
    page.evaluate("recsys.track('like', {sku: 'sku7'})")
    page.locator(f"{ITEMS} a").first.click()
    page.wait_for_url("**/p/*")
    page.goto(web.site.origin)
    page.wait_for_selector(ITEMS)
    page.evaluate("recsys.consent(true)")
    page.evaluate("recsys.track('like', {sku: 'sku8'})")
    assert [row[0] for row in web.wait_for(FROM_PAGES + "AND interaction_type = 'like'", 1)] == [8]
    page.evaluate("recsys.consent(false)")
    sent = len(home.requests)
    page.evaluate("recsys.track('like', {sku: 'sku9'})")
    page.wait_for_timeout(3_000)
    assert page.evaluate(
        "[...Object.keys(localStorage), ...Object.keys(sessionStorage), document.cookie]"
    ) == [""]
    # the list for everybody, and nothing else
    assert all("/recommendations?" in request for request in home.requests[sent:])
    assert len(web.rows(FROM_PAGES + "AND interaction_type = 'like'")) == 1
    assert home.errors == []


def test_consent_by_purpose_names_both_and_is_kept_until_the_server_has_it(web: Web) -> None:
    required = HOME.replace("data-key", 'data-consent="required" data-key')
    web.site.pages["/"] = web.filled(required)
    home = web.visit()
    page = home.page
    page.wait_for_selector(ITEMS)
    wrong = ("{}", "{analytics: true}", "{personalization: false, analytics: true}",
             "{personalisation: 'no', analytics: true}", "[]",
             "{personalisation: false, analytics: false, marketing: false}")  # fmt: skip
    kept = "[...Object.keys(localStorage)]"
    sent = len(home.requests)
    for given in wrong:
        name = page.evaluate(f"recsys.consent({given}).then(() => 'none', (error) => error.name)")
        assert name == "TypeError", given
    # who never allowed anything gets no session for refusing
    page.evaluate("recsys.consent({personalisation: false, analytics: false})")
    assert page.evaluate(kept) == []
    assert len(home.requests) == sent

    web.site.pages["/"] = web.filled(HOME)
    page.goto(web.site.origin)
    page.wait_for_selector(ITEMS)
    page.route("**/api/v1/consent", lambda route: route.abort())
    refusal = "recsys.consent({personalisation: false, analytics: true})"
    assert page.evaluate(f"{refusal}.then(() => 'stored', () => 'failed')") == "failed"
    assert page.evaluate(kept) == ["recsys.refusal"]
    page.evaluate("recsys.track('like', {sku: 'sku9'})")
    assert page.evaluate(kept) == ["recsys.refusal"]
    page.unroute("**/api/v1/consent")
    page.goto(web.site.origin)
    stored = "SELECT personalisation, analytics FROM users_db.consents WHERE owner LIKE 'session:%'"
    assert web.wait_for(stored, 1) == [(False, True)]
    page.wait_for_function("localStorage.getItem('recsys.refusal') === null")


def test_a_signed_token_brings_the_list_of_its_user(web: Web) -> None:
    get_settings.cache_clear()
    script = (
        "<script type=module>recsys.user(() => { window.asked = (window.asked ?? 0) + 1; "
        "return window.token ?? '%s'; })</script>"
    )
    expired = web.token("u11").rpartition(".")[0] + ".AAAA"
    web.write(
        mine=HOME[HOME.index("<h1>") :] + script % web.token("u11"),
        expired=HOME[HOME.index("<h1>") :] + script % expired,
    )
    with running(create_app()) as client:
        items = client.get("/api/v1/users/11/recommendations?limit=4").json()["items"]
    home = web.visit("/mine")
    names = [item["name"] for item in items]
    home.page.wait_for_function(
        "(names) => [...document.querySelector('recsys-list').shadowRoot"
        ".querySelectorAll('li[part=item] .name')].map((each) => each.textContent).join() === names.join()",
        arg=names,
    )
    home.page.evaluate("recsys.track('like', {sku: 'sku7'})")
    liked = "SELECT user_id FROM recommendations_db.user_interactions WHERE interaction_type = 'like'"
    assert web.wait_for(liked, 1) == [(11,)]
    # a token that is refused is asked for once more, and nothing of the user is shown
    other = web.visit("/expired")
    other.page.wait_for_function("window.asked >= 2")
    other.page.evaluate(f"window.token = {json.dumps(web.token('u11'))}")
    other.page.wait_for_function("document.querySelector('recsys-list').getAttribute('state') === 'ready'")
    assert home.errors == other.errors == []


def test_markup_in_a_product_is_text(web: Web) -> None:
    with web.shop.connect() as connection:
        connection.execute(
            "UPDATE products_db.products SET name = '<img src=x onerror=\"window.evil = 1\">' || id"
        )
    web.stop()
    web.write(
        own="""<recsys-list limit="3"><template><article><a data-href="url"><b data-text="name"></b>
        <i data-text="price"></i><img data-src="image" alt=""></a></article></template></recsys-list>"""
    )
    web.start()
    home = web.visit("/own")
    home.page.wait_for_selector("recsys-list[state=ready] article a[href*='/p/sku']")
    names = home.page.locator("recsys-list article b").all_inner_texts()
    assert len(names) == 3
    assert all(name.startswith("<img src=x") for name in names)
    assert home.page.evaluate("window.evil") is None
    # the page's own style reaches the parts of a template, and a click in it counts
    home.page.locator("recsys-list article a").first.click()
    home.page.wait_for_url("**/p/*")
    web.wait_for(FEEDBACK + "feedback_type = 'clicked'", 1)
    assert home.errors == []
