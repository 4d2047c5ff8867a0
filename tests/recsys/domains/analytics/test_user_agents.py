"""User-Agents as they are sent: bots by their names, visitors by device, browser and system."""

from __future__ import annotations

import pytest

from recsys.domains.analytics.user_agents import BOTS, Agent, bot_named, described

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36",
         Agent("desktop", "Chrome", "Windows")),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0",
         Agent("desktop", "Edge", "Windows")),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
         "Version/18.0 Safari/605.1.15", Agent("desktop", "Safari", "macOS")),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
         "Version/18.0 Mobile/15E148 Safari/604.1", Agent("mobile", "Safari", "iOS")),
        ("Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0 "
         "Mobile/15E148 Safari/604.1", Agent("tablet", "Chrome", "iOS")),
        (f"Mozilla/5.0 (Linux; Android 15; Pixel 9) {WEBKIT} Chrome/140.0.0.0 Mobile Safari/537.36",
         Agent("mobile", "Chrome", "Android")),
        (f"Mozilla/5.0 (Linux; Android 14; SM-X710) {WEBKIT} SamsungBrowser/27.0 Chrome/125.0 Safari/537.36",
         Agent("tablet", "Samsung Internet", "Android")),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0",
         Agent("desktop", "Firefox", "Linux")),
        (f"Mozilla/5.0 (X11; CrOS x86_64 15917.0.0) {WEBKIT} Chrome/140.0.0.0 Safari/537.36 OPR/110.0",
         Agent("desktop", "Opera", "ChromeOS")),
        ("something else", Agent()),
        ("", Agent()),
        (None, Agent()),
    ],
)  # fmt: skip
def test_a_visitor_is_described_and_no_bot(agent: str | None, expected: Agent) -> None:
    assert described(agent) == expected
    assert bot_named(agent) is None


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot"),
        ("Mozilla/5.0 AppleWebKit/537.36 (compatible; bingbot/2.0) Chrome/116.0 Safari/537.36", "Bingbot"),
        ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", "YandexBot"),
        ("facebookexternalhit/1.1", "facebookexternalhit"),
        ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/140.0 Safari/537.36", "headless browser"),
        ("curl/8.5.0", "curl"),
        ("python-requests/2.32", "Python client"),
        ("SomeNewBot/1.0 (+https://example.org)", "another bot"),
        ("my-crawler", "another bot"),
    ],
)
def test_a_bot_is_named(agent: str, name: str) -> None:
    assert bot_named(agent) == name


def test_a_phone_by_the_name_of_cubot_is_no_bot() -> None:
    assert bot_named(f"Mozilla/5.0 (Linux; Android 9; CUBOT X19) {WEBKIT} Chrome/120.0 Mobile") is None


def test_every_name_of_a_bot_fits_its_column_and_stands_once() -> None:
    names = [name for name, _ in BOTS]
    assert len(names) == len(set(names))
    assert max(map(len, names)) <= 100
