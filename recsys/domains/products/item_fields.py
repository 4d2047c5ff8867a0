"""The fields of a product in a list, a search or a read, chosen by `fields=`."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import Depends, Query
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER
from sqlalchemy.orm import Session

from recsys.errors import Invalid
from recsys.settings import get_settings

__all__ = ["DEFAULT", "FIELDS", "FieldsDep", "checked", "chosen", "product_url"]

FIELDS = (
    *("sku", "name", "price", "compare_price", "currency", "image", "url", "brand", "category", "stock"),
    "slug",
)
"""What `fields=` knows. `stock` is `in_stock`, `on_order` (sold without stock) or `out_of_stock`."""
DEFAULT = ("sku", "name", "price")
"""What an item of a list of recommendations has unless `fields` says otherwise; it never changes."""

_DETAILS = text(
    """
    SELECT pg.url, p.id, p.sku, p.name, p.slug, p.price, p.compare_price, b.name AS brand, c.name AS category,
        (SELECT i.src FROM products_db.product_images AS i WHERE i.product_id = p.id
         ORDER BY i.is_primary DESC NULLS LAST, i.position, i.id LIMIT 1) AS image,
        CASE WHEN NOT coalesce(p.track_inventory, true) OR coalesce(v.stocked, true) THEN 'in_stock'
             WHEN v.sold THEN 'on_order' ELSE 'out_of_stock' END AS stock
    FROM products_db.products AS p
    LEFT JOIN products_db.product_pages AS pg ON pg.product_id = p.id
    LEFT JOIN products_db.brands AS b ON b.id = p.brand_id
    LEFT JOIN products_db.categories AS c ON c.id = p.category_id
    CROSS JOIN LATERAL (
        SELECT bool_or(coalesce(inventory_quantity, 0) > 0 OR NOT coalesce(inventory_tracking, true))
                   AS stocked,
               bool_or(inventory_policy = 'continue') AS sold
        FROM products_db.product_variants WHERE product_id = p.id
    ) AS v
    WHERE p.id = ANY(:ids)
    """
).bindparams(bindparam("ids", type_=ARRAY(INTEGER)))


def checked(names: Sequence[str]) -> tuple[str, ...]:
    """Return the fields, each once. Raises Invalid for a name that is not one."""
    for name in names:
        if name not in FIELDS:
            close_matches = difflib.get_close_matches(name, FIELDS, n=1)
            hint = f"Did you mean {close_matches[0]}?" if close_matches else f"Known are {', '.join(FIELDS)}."
            raise Invalid(f"There is no field of that name. {hint}", field="fields")
    return tuple(dict.fromkeys(names))


# asynchronous, so that it takes no thread
async def _parse(
    fields: Annotated[
        str | None,
        Query(
            max_length=200,
            description=f"Fields of each item, separated by commas, among {', '.join(FIELDS)}. The ids are "
            "always there.",
            examples=["name,price,image"],
        ),
    ] = None,
) -> tuple[str, ...] | None:
    return None if fields is None else checked([name.strip() for name in fields.split(",")])


FieldsDep = Annotated[tuple[str, ...] | None, Depends(_parse)]
"""The requested fields; None for those of the route."""


def product_url(number: int, sku: str | None, slug: str | None, own: str | None = None) -> str | None:
    """Return the address of a product's page in the shop: its own one, else that of `shop.product_url`.

    Parameters
    ----------
    number, sku, slug
        What the address of `shop.product_url` is made with.
    own
        Its own address, as it was imported.

    Returns
    -------
    str or None
        None where there is neither.
    """
    if own is not None:
        return own
    template = get_settings().shop.product_url
    if template is None:
        return None
    values = {"{id}": str(number), "{sku}": sku or "", "{slug}": slug or ""}
    for place, value in values.items():
        template = template.replace(place, quote(value, safe=""))
    return template


def chosen(session: Session, ids: Sequence[int], fields: Sequence[str]) -> dict[int, Mapping[str, Any]]:
    """Return `id`, `sku` and the fields of each product that exists, for JSON; amounts are text."""
    if not ids:
        return {}
    currency = get_settings().shop.currency
    items: dict[int, Mapping[str, Any]] = {}
    for row in session.execute(_DETAILS, {"ids": list(ids)}).mappings():
        values = {
            **row,
            "currency": currency,
            "url": product_url(row["id"], row["sku"], row["slug"], row["url"]),
        }
        for amount in ("price", "compare_price"):
            values[amount] = None if values[amount] is None else str(values[amount])
        items[row["id"]] = {name: values[name] for name in dict.fromkeys(("id", "sku", *fields))}
    return items
