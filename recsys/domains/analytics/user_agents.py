"""What a User-Agent tells: a named bot, or the kind of device, browser and system of a visitor."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["BOTS", "Agent", "bot_named", "described"]

BOTS: tuple[tuple[str, str], ...] = (
    ("Googlebot", r"googlebot|google-inspectiontool|adsbot-google|mediapartners-google|storebot-google"),
    ("Bingbot", r"bingbot|bingpreview|adidxbot"),
    ("Applebot", r"applebot"),
    ("YandexBot", r"yandex\w*bot|yandexbot|yandeximages|yandexmetrika"),
    ("Baiduspider", r"baiduspider"),
    ("DuckDuckBot", r"duckduckbot|duckassistbot"),
    ("Yahoo Slurp", r"yahoo! slurp"),
    ("PetalBot", r"petalbot"),
    ("SeznamBot", r"seznambot"),
    ("GPTBot", r"gptbot|oai-searchbot|chatgpt-user"),
    ("ClaudeBot", r"claudebot|claude-user|claude-searchbot|anthropic-ai"),
    ("PerplexityBot", r"perplexitybot|perplexity-user"),
    ("CCBot", r"ccbot"),
    ("Bytespider", r"bytespider"),
    ("Amazonbot", r"amazonbot"),
    ("facebookexternalhit", r"facebookexternalhit|facebookcatalog|meta-externalagent"),
    ("Twitterbot", r"twitterbot"),
    ("LinkedInBot", r"linkedinbot"),
    ("Pinterestbot", r"pinterestbot"),
    ("Slackbot", r"slackbot"),
    ("Discordbot", r"discordbot"),
    ("TelegramBot", r"telegrambot"),
    ("AhrefsBot", r"ahrefsbot|ahrefssiteaudit"),
    ("SemrushBot", r"semrushbot"),
    ("MJ12bot", r"mj12bot"),
    ("DotBot", r"dotbot"),
    ("UptimeRobot", r"uptimerobot"),
    ("Pingdom", r"pingdom"),
    ("Lighthouse", r"chrome-lighthouse|google page speed"),
    ("headless browser", r"headlesschrome|phantomjs|puppeteer|playwright|selenium"),
    ("curl", r"^curl/"),
    ("wget", r"^wget/"),
    ("Python client", r"^python-|^python/|aiohttp/|scrapy/|httpx/"),
    ("Go client", r"^go-http-client/"),
    ("Java client", r"^java/|^apache-httpclient/|^okhttp/"),
    # any other client that calls itself a bot; Cubot is a brand of phones
    ("another bot", r"(?<!cu)bot\b|\bbot|crawler|spider"),
)
"""Name and pattern of each bot, the first that fits counts; they are searched without regard to case."""

# browsers name those they descend from: the younger ones come first
_BROWSERS = (
    ("Edge", r"\bedg(?:e|a|ios)?/"),
    ("Opera", r"\bopr/|\bopera"),
    ("Samsung Internet", r"samsungbrowser/"),
    ("Firefox", r"firefox/|fxios/"),
    ("Chrome", r"chrome/|crios/|chromium/"),
    ("Safari", r"version/[\d.]+.*safari/"),
    ("Internet Explorer", r"msie |trident/"),
)
_SYSTEMS = (
    ("iOS", r"iphone|ipad|ipod"),
    ("Android", r"android"),
    ("Windows", r"windows"),
    ("ChromeOS", r"\bcros\b"),
    ("macOS", r"mac os x|macintosh"),
    ("Linux", r"linux|x11"),
)
_DEVICES = (
    ("tablet", r"ipad|tablet|android(?!.*mobile)"),
    ("mobile", r"mobi|iphone|ipod|android"),
    ("desktop", r"windows|macintosh|x11|linux|\bcros\b"),
)


def _compiled(rules: tuple[tuple[str, str], ...]) -> tuple[tuple[str, re.Pattern[str]], ...]:
    return tuple((name, re.compile(pattern, re.IGNORECASE)) for name, pattern in rules)


_BOT_RULES, _BROWSER_RULES, _SYSTEM_RULES, _DEVICE_RULES = map(
    _compiled, (BOTS, _BROWSERS, _SYSTEMS, _DEVICES)
)


@dataclass(frozen=True)
class Agent:
    """What is known of a visitor's program; None where it does not say."""

    device_type: str | None = None
    browser: str | None = None
    os: str | None = None


def bot_named(agent: str | None) -> str | None:
    """The name of the bot that `agent` belongs to, None for a person's browser or nothing at all."""
    return _first(_BOT_RULES, agent)


def described(agent: str | None) -> Agent:
    """Device, browser and system by name; versions are not kept."""
    return Agent(_first(_DEVICE_RULES, agent), _first(_BROWSER_RULES, agent), _first(_SYSTEM_RULES, agent))


def _first(rules: tuple[tuple[str, re.Pattern[str]], ...], agent: str | None) -> str | None:
    if not agent:
        return None
    return next((name for name, pattern in rules if pattern.search(agent)), None)
