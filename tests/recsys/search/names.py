"""Names of products as shops write them."""

from __future__ import annotations

from hypothesis import strategies as st

# names as shops have them, each with its SKU
SHOP: tuple[tuple[str, str], ...] = (
    ("CAF-1", "Café au lait 250 g"),
    ("CAF-2", "Cafe Royal pods"),
    ("AB-1234-XL", "T-Shirt Basic XL"),
    ("AB-1234-S", "T-Shirt Basic S"),
    ("24-MB01", "Joust Duffle Bag"),
    ("WAT-05", "Mineral Water 0.5L"),
    ("WAT-15", "Mineral Water 1.5l"),
    ("SCR-M8", "Screw M8x20 5.5 mm DIN933"),
    ("SCR-12", "Screw 1/2 inch"),
    ("TEA-JP", "抹茶ラテ 200g"),
    ("TEA-CN", "龙井绿茶 礼盒"),
    ("KR-1", "한국 김치 500g"),
    ("AR-1", "شاي أخضر بالنعناع"),
    ("HE-1", "תה ירוק"),
    ("TH-1", "ชาเขียวมะลิ"),
    ("EMO-1", "🧦 Happy Socks 🎉"),
    ("TV-42", 'TV 42" 4K HDR'),
    ("C-PLUS", "C++ Programming Book"),
    ("C-SHARP", "C# and node.js v2.0"),
    ("NET-1", ".NET in Action"),
    ("ACDC", "AC/DC T-shirt"),
    ("WIFI", "Wi-Fi 6 Router HDMI"),
    ("IPH", "iPhone 15 Pro 256GB case"),
    ("LOR", "L'Oréal Shampoo 2in1"),
    ("CHI", "Children's Shoes No.5"),
    ("HM", "H&M Knives set 6-piece"),
    ("DE-1", "Spülmaschinentabs"),
    ("DE-2", "Straßenkarte Köln"),
    ("DE-3", "Käse gerieben 80g"),
    ("THE", "The The CD"),
    ("NUM", "4711 Eau de Cologne"),
    ("PCT", '100% Cotton, "soft" towel'),
    ("TR-1", "İstanbul ışık lamba"),
    ("PL-1", "Żółty łoś"),
    ("VI-1", "Cà phê sữa đá"),
    ("COKE", "Cola coke can"),
    ("CAKE", "Diet cake"),
)


# what a database can store and a reader can see
LETTERS = st.characters(exclude_categories=["Cs", "Cc"])
NAMES = st.one_of(
    st.text(LETTERS, min_size=1, max_size=40),
    st.lists(
        st.sampled_from(
            [*" -/.+&'\"%#×½", "AC", "dc", "1", "1.5", "l", "GB", "é", "ß", "龙井", "ラテ", "ชา"]
        ),
        min_size=1,
        max_size=12,
    ).map("".join),
)
