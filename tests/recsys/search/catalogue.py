"""A small shop to search in: known products, reviews, stock, and users at known places."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy.orm import Session

from recsys.domains.products.tables import Brand, Category, Product, ProductReview, ProductVariant
from recsys.domains.users.tables import User, UserProfile, UserSocial

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Catalogue:
    """Ids by name."""

    products: dict[str, int]
    categories: dict[str, int]
    brands: dict[str, int]
    users: dict[str, int]

    def names(self, ids: list[int]) -> list[str]:
        """The products' names."""
        by_id = {number: name for name, number in self.products.items()}
        return [by_id[one] for one in ids]


# name, category, brand, price, stock (None: not counted), tags, description, stars
PRODUCTS: tuple[tuple[str, str, str, str, int | None, list[str], str, list[int]], ...] = (
    (
        "Dark chocolate bar",
        "Sweets",
        "Cocoa Works",
        "3.50",
        12,
        ["vegan", "snack"],
        "Bitter and fine.",
        [5, 4],
    ),
    ("Milk chocolate bar", "Sweets", "Cocoa Works", "2.50", 0, ["snack"], "Soft and sweet.", [3]),
    ("Hot chocolate", "Drinks", "Cocoa Works", "6.00", 5, ["winter"], "A powder for cold days.", []),
    ("Green tea", "Drinks", "Leaf & Sons", "4.00", None, ["vegan", "winter"], "Leaves of spring.", [5]),
    ("Tea pot", "Kitchen", "Leaf & Sons", "35.00", 3, ["gift"], "Holds a litre of green tea.", [4, 4, 5]),
    ("Desk lamp", "Light", "Bright", "120.00", 2, [], "Warm light, even beside chocolate.", [2]),
    ("Größe Zwölf", "Light", "Bright", "9.99", 1, ["ünïcode"], "Names may have any letters.", []),
)
TREE = {
    "Food": None,
    "Sweets": "Food",
    "Drinks": "Food",
    "Home": None,
    "Kitchen": "Home",
    "Light": "Home",
}
# username, full name, bio, latitude and longitude, followers
USERS = (
    ("ada", "Ada Lovelace", "Counts machines.", (51.5074, -0.1278), 3),
    ("grace", "Grace Hopper", "Compiles, and finds moths.", (40.7128, -74.0060), 2),
    ("emmy", "Emmy Noether", "Invariants.", (49.5897, 11.0040), 0),
    ("sofya", "Sofya Kovalevskaya", None, None, 1),
)


def fill(session: Session) -> Catalogue:
    """Store all of it."""
    categories: dict[str, int] = {}
    for name, above in TREE.items():
        row = Category(name=name, slug=name.lower(), parent_id=None if above is None else categories[above])
        session.add(row)
        session.flush()
        categories[name] = row.id
    brands: dict[str, int] = {}
    for name in ("Cocoa Works", "Leaf & Sons", "Bright"):
        brand = Brand(name=name, slug=name.lower().replace(" ", "-").replace("&", "and"))
        session.add(brand)
        session.flush()
        brands[name] = brand.id
    products: dict[str, int] = {}
    for place, (name, category, brand_name, price, stock, tags, description, stars) in enumerate(PRODUCTS):
        product = Product(
            name=name,
            slug=f"p-{place}",
            sku=f"SKU{place}X",
            price=Decimal(price),
            category_id=categories[category],
            brand_id=brands[brand_name],
            tags=tags,
            description=description,
            is_featured=name == "Tea pot",
            track_inventory=stock is not None,
            created_at=BEGIN + timedelta(days=place),
        )
        session.add(product)
        session.flush()
        products[name] = product.id
        session.add(ProductVariant(product_id=product.id, inventory_quantity=stock or 0))
        session.add_all(ProductReview(product_id=product.id, rating=one, is_approved=True) for one in stars)
        # not approved: counts nowhere
        session.add(ProductReview(product_id=product.id, rating=1, is_approved=False))
    users: dict[str, int] = {}
    for place, (username, full_name, bio, where, followers) in enumerate(USERS):
        user = User(
            email=f"{username}@example.org",
            username=username,
            full_name=full_name,
            password_hash="!",
            created_at=BEGIN + timedelta(days=place),
        )
        session.add(user)
        session.flush()
        users[username] = user.id
        location = {} if where is None else {"location": {"lat": where[0], "lon": where[1]}}
        session.add(UserProfile(user_id=user.id, bio=bio, preferences=location))
        session.add(UserSocial(user_id=user.id, followers=list(range(followers)), following=[1]))
    session.flush()
    return Catalogue(products, categories, brands, users)
