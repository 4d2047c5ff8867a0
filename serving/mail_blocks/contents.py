"""What a block displays: its products with names, prices, pictures and links, as HTML for mails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

from markupsafe import Markup

from recsys.domains.products.item_fields import product_url
from recsys.settings import get_settings
from serving.catalogue.catalogue import Catalogue
from serving.mail_blocks.pictures import HEIGHT, WIDTH
from serving.pages.templating import money

__all__ = ["MailProduct", "fragment", "link_of", "mail_product", "snippet"]


class MailProduct(NamedTuple):
    """One product of a block."""

    number: int
    name: str
    price: str


@dataclass(frozen=True)
class _Cell:
    """One place.

    Attributes
    ----------
    alt
        For clients that display no pictures.
    """

    link: str
    picture: str
    alt: str


def mail_product(catalogue: Catalogue, number: int) -> MailProduct | None:
    """The product, None where the catalogue no longer has it."""
    summary = catalogue.summaries.get(number)
    if summary is None:
        return None
    return MailProduct(number, summary.name, money(summary.price))


def link_of(catalogue: Catalogue, number: int | None) -> str | None:
    """Where a click leads: the product's page in the shop, else the shop; None where neither is known.

    In development with the demo's shop front that is its page.
    """
    summary = None if number is None else catalogue.summaries.get(number)
    settings = get_settings()
    template = settings.shop.product_url
    if summary is not None and number is not None:
        details = summary.details
        found = _absolute(product_url(number, details.sku, details.slug, details.url))
        if found is not None:
            return found
    if template is not None:
        parts = urlsplit(template)
        return f"{parts.scheme}://{parts.netloc}/" if parts.netloc else "/"
    if settings.shop.front or (settings.shop.front is None and settings.environment == "development"):
        return "/shop" if summary is None else f"/shop/products/{number}"
    return None


def _absolute(url: str | None) -> str | None:
    """A path of the shop as an address, by that of `shop.product_url`, else of this server."""
    template = get_settings().shop.product_url
    if url is None or not url.startswith("/") or template is None or template.startswith("/"):
        return url
    parts = urlsplit(template)
    return f"{parts.scheme}://{parts.netloc}{url}"


def fragment(address: str, products: Sequence[MailProduct]) -> str:
    """The block with names and prices, for who fetches it while a mail is opened."""
    cells = [
        _Cell(f"{address}/{place}", f"{address}/{place}.png", f"{product.name}, {product.price}")
        for place, product in enumerate(products, 1)
    ]
    return _table(cells)


def snippet(address: str, places: int) -> str:
    """What a mail has in its HTML: pictures and links, which the block fills when the mail is opened."""
    return _table(
        [
            _Cell(f"{address}/{place}", f"{address}/{place}.png", f"Recommended product {place}")
            for place in range(1, places + 1)
        ]
    )


_ROW = Markup('<table role="presentation" cellpadding="0" cellspacing="0" border="0"><tr>{}</tr></table>')
_CELL = Markup(
    '<td style="padding:4px"><a href="{link}"><img src="{picture}" width="{width}" height="{height}" '
    'alt="{alt}" border="0" style="display:block;border:0"></a></td>'
)


def _table(cells: Sequence[_Cell]) -> str:
    inner = Markup("").join(
        _CELL.format(link=cell.link, picture=cell.picture, alt=cell.alt, width=WIDTH, height=HEIGHT)
        for cell in cells
    )
    return str(_ROW.format(inner))
