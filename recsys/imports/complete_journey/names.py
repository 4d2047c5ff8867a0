"""Readable names for the shouted abbreviations of The Complete Journey, and what its departments sell."""

from __future__ import annotations

import polars as pl

__all__ = ["DURABLE", "NOT_GOODS", "category_paths", "product_names", "readable"]

NO_DEPARTMENT = "Other"
DRUGSTORE = "Drugstore & General Merchandise"

_DEPARTMENTS = {
    "CHARITABLE CONT": "Charitable Contributions",
    "CNTRL/STORE SUP": "Store Supplies",
    "DRUG GM": DRUGSTORE,
    "ELECT &PLUMBING": "Electrical & Plumbing",
    "GM MERCH EXP": "General Merchandise",
    "PROD-WHS SALES": "Produce Warehouse Sales",
}

DURABLE: frozenset[tuple[str, ...]] = frozenset(
    {
        ("Automotive",),
        ("Electrical & Plumbing",),
        ("Garden Center",),
        ("Housewares",),
        ("Photo & Video",),
        ("Toys",),
        (DRUGSTORE, "Apparel"),
        (DRUGSTORE, "Audio/Video Products"),
        (DRUGSTORE, "Automotive Products"),
        (DRUGSTORE, "Bookstore"),
        (DRUGSTORE, "Cookware & Bakeware"),
        (DRUGSTORE, "Domestic Goods"),
        (DRUGSTORE, "Glasses/Vision Aids"),
        (DRUGSTORE, "Glassware & Dinnerware"),
        (DRUGSTORE, "Hair Care Accessories"),
        (DRUGSTORE, "Hardware Supplies"),
        (DRUGSTORE, "Home Furnishings"),
        (DRUGSTORE, "Infant Care Products"),
        (DRUGSTORE, "Kitchen Gadgets"),
        (DRUGSTORE, "Personal Care Appliances"),
        (DRUGSTORE, "Plastic Housewares"),
        (DRUGSTORE, "Portable Electric Appliances"),
        (DRUGSTORE, "Sewing"),
        (DRUGSTORE, "Sports Memorablilia"),
        (DRUGSTORE, "Toys And Games"),
        (DRUGSTORE, "Watches/Calculators/Lobby"),
    }
)
"""Departments and categories of goods that last: who bought one is not offered it again.

Everything else in the data is used up (food, drinks, drugstore goods, flowers, fuel, magazines, seasonal
goods) and may be bought again. Chosen by hand from the list of departments, and of the categories of
"DRUG GM", which mixes both.
"""

NOT_GOODS = (
    frozenset({"Charitable Contributions", "Coupon", "Fuel", "Miscellaneous", "Store Supplies"}),
    frozenset({"Coupon", "Coupon/Misc Items", "Coupons/Store & Mfg"}),
)
"""Departments, and categories of any department, that hold nothing to put on a shelf: stored hidden."""

_ABBREVIATIONS = {
    r"\bFrzn\b": "Frozen",
    r"\bPckgd\b": "Packaged",
    r"\bRefrgratd\b": "Refrigerated",
    r"\bDrnks\b": "Drinks",
    r"\bMxs\b": "Mixes",
    r"\bPnt Btr\b": "Peanut Butter",
    r"\bVeg\b": "Vegetable",
    r"\bJce\b": "Juice",
    r"\bCleang\b": "Cleaning",
    r"\bBrkfst\b": "Breakfast",
    r"\bWhlsm\b": "Wholesome",
    r"\bChoc\b": "Chocolate",
    r"\bSply\b": "Supply",
    r"\bTrsh Bg\b": "Trash Bags",
    r"\bFd Wraps\b": "Food Wraps",
    r"\bBeeralemalt\b": "Beer/Ale/Malt",
    r"\bW/": "with ",
}


def readable(column: str) -> pl.Expr:
    """ "FRZN ICE" → "Frozen Ice": title case, the commonest abbreviations written out, tidy spaces."""
    text = (
        pl.col(column)
        .replace(_DEPARTMENTS)
        .str.replace(r"\s*\([^)]*$", "")  # the data cuts names at 30 characters, often within parentheses
        .str.to_titlecase()
        .str.replace_all(r"['’]S\b", "'s")
        .str.replace_all(r"\s*:\s*", ": ")
        .str.replace_all(r"\s*&\s*", " & ")
        .str.replace_all(r"\s+", " ")
        .str.strip_chars()
    )
    for pattern, word in _ABBREVIATIONS.items():
        text = text.str.replace_all(pattern, word)
    return text


def category_paths(department: str, category: str) -> pl.Expr:
    """ "Grocery > Cheese"; a product without a category belongs to its department."""
    top = pl.col(department).fill_null(NO_DEPARTMENT)
    # ">" parts the levels of a path
    return pl.concat_str([top, pl.col(category)], separator=" > ", ignore_nulls=True)


def product_names(product_type: str, package_size: str, category: str, department: str) -> pl.Expr:
    """ "Cream Cheese, 8 oz": the type (else the category, else the department) and the package size."""
    title = pl.coalesce(product_type, category, department, pl.lit("Product"))
    size = pl.col(package_size).str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    return pl.concat_str([title, pl.when(size != "").then(size)], separator=", ", ignore_nulls=True)
