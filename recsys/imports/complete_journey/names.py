"""Readable names for the abbreviations of The Complete Journey in capitals, and what its departments sell.

`titles.tsv` names the types of products that are sold most, six in ten of all lines; a type that means
something only in its category stands there as `TYPE @ CATEGORY`. Other types are written out by rules.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

import polars as pl

__all__ = ["DURABLE", "NOT_GOODS", "category_paths", "product_names", "readable", "titles"]

_TITLES = Path(__file__).with_name("titles.tsv")

NO_DEPARTMENT = "Other"
DRUGSTORE = "Drugstore & General Merchandise"

_DEPARTMENTS = {
    "CHARITABLE CONT": "Charitable Contributions",
    "CNTRL/STORE SUP": "Store Supplies",
    "DRUG GM": DRUGSTORE,
    "ELECT &PLUMBING": "Electrical & Plumbing",
    "GM MERCH EXP": "General Merchandise",
    "MEAT-PCKGD": "Packaged Meat",
    "PROD-WHS SALES": "Produce Warehouse Sales",
    "SEAFOOD-PCKGD": "Packaged Seafood",
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
    r"\bFrzn\b|\bFrz\b": "Frozen",
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
    r"\bBkd Fd\b": "Baked Food",
    r"\bBn\b": "Bean",
    r"\bBtl\b": "Bottle",
    r"\bConc\b": "Concentrate",
    r"\bCrystl\b": "Crystal",
    r"\bDisposible\b": "Disposable",
    r"\bDnr\b": "Dinner",
    r"\bDnrs\b": "Dinners",
    r"\bDrnk\b": "Drink",
    r"\bDrsng\b": "Dressing",
    r"\bDsh\b": "Dish",
    r"\bEx\b": "Except",
    r"\bFlvrd\b": "Flavored",
    r"\bHbc\b": "Health & Beauty",
    r"\bMixs\b": "Mixes",
    r"\bMw\b": "Microwave",
    r"\bNdairy\b": "Non-Dairy",
    r"\bPk\b": "Pack",
    r"\bPkg\b\.?": "Packaged ",
    r"\bPkgd\b": "Packaged",
    r"\bPkld\b": "Pickled",
    r"\bPwdr\b": "Powder",
    r"\bRefrig\b": "Refrigerated",
    r"\bRw\b": "Random Weight",
    r"\bSald\b": "Salad",
    r"\bSherbts\b": "Sherbets",
    r"\bSndwch\b": "Sandwich",
    r"\bSnks/Ckys/Crkr/Cndy\b": "Snacks/Cookies/Crackers/Candy",
    r"\bSod\b": "Soda",
    r"\bSprd\b": "Spread",
    r"\bSuppplies\b": "Supplies",
    r"\bSweetners\b": "Sweeteners",
    r"\bTiss\b": "Tissue",
    r"\bWtr\b": "Water",
    r"\bMx\b": "Mix",
    r"\bFem\b\.?": "Feminine",
    r"^Sal: ": "Salads: ",
    r"^Sw Gds: ": "Sweet Goods: ",
    r"^Chix: ": "Chicken: ",
    r"^Seafood-Fre-": "Fresh ",
    r"^Seafood-(?:Frz|Frozen)-": "Frozen ",
    r"\s+": " ",
}
_REORDERED = (
    r"^(Apples|Carrots|Cheese|Grapes|Greens|Herbs|Mushrooms|Nectarines|Nuts|Onions|Oranges|Peaches|Pears|"
    r"Peppers|Plums|Potatoes|Squash|Tomatoes) ([A-Z].*)$"
)
"""The data sorts by the kind: "Apples Gala", "Peppers Green Bell"."""
_PREFIXED = r"^(Bread|Cakes|Cheese|Cookies|Meat|Pies|Rolls|Salads|Snacks|Sweet Goods|Chicken): ?(.+)$"
_WEIGHED = r"^(?:\d{2,}(?:\.\d+)? LB|\d{2,}(?:-\d+)? CT)$"
"""Package sizes of produce that are those of the case in which the shop gets it."""


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


@lru_cache(maxsize=1)
def _known_titles() -> dict[str, str]:
    with _TITLES.open(encoding="utf-8", newline="") as lines:
        return dict(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def titles(product_type: str, category: str) -> pl.Expr:
    """ "APPLES GALA (BULK&BAG)" → "Gala Apples"; null without a type. Columns as they are in the data."""
    known = _known_titles()
    in_category = pl.concat_str(product_type, category, separator=" @ ")
    by_rule = (
        readable(product_type)
        .str.replace_all(r"\s*\([^)]*\)", "")
        .str.replace(_PREFIXED, "$2 $1")
        .str.replace(_REORDERED, "$2 $1")
        .str.replace_all(r"([a-z])/([A-Z])", "$1 & $2")
        .str.replace_all(r"\s+", " ")
    )
    by_table = (each.replace_strict(known, default=None) for each in (in_category, pl.col(product_type)))
    return pl.coalesce(*by_table, by_rule)


def product_names(title: str, package_size: str, category: str, department: str) -> pl.Expr:
    """ "Cream Cheese, 8 oz": the title (else the category, else the department) and the package size.

    The size of a case in which produce is delivered is left out.
    """
    words = pl.coalesce(title, category, department, pl.lit("Product"))
    raw = pl.col(package_size).str.replace_all(r"\([^)]*\)|\s+", " ").str.strip_chars()
    by_case = (pl.col(department) == "Produce").fill_null(False) & raw.str.contains(_WEIGHED)
    size = (
        raw.str.to_lowercase()
        # the number of an article, or the rest of a word, before the size
        .str.replace(r"^(?:\d{5,}|ab|[lnpr]) ([.\d])", "$1")
        .str.replace(r"^\d{5,}.*$|^(?:pk|pck|in)$", "")
        .str.replace(r"\.0+ ", " ")
        .str.replace(r"^\.", "0.")
        .str.replace(r" l$", " L")
        .str.replace(r"^l$", "1 L")
        .str.replace(r"^1 dz$", "1 dozen")
        .str.replace(r"^pt$", "1 pint")
        .str.replace(r"^ctn$", "1 carton")
    )
    return pl.concat_str(
        [words, pl.when((size != "") & ~by_case).then(size)], separator=", ", ignore_nulls=True
    )
