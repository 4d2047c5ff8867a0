"""Pictures of products that have none: a glyph of the kind of goods in a colour of the product's own (SVG).

The same product always gets the same picture: colour and background follow from its number.
"""

from __future__ import annotations

import colorsys

from markupsafe import Markup

from serving.pages.pictures.glyphs import glyph_of, glyphs

__all__ = ["picture"]

_MOST_HUE_SHIFT = 14
_GROUNDS = (
    '<circle cx="32" cy="33" r="26" fill="{front}"/>',
    '<rect x="8" y="9" width="48" height="48" rx="14" fill="{front}"/>',
    '<path d="M0 46c12-10 22-10 32-2s22 6 32-4v24H0z" fill="{front}"/>',
    '<g fill="{front}"><circle cx="14" cy="14" r="16"/><circle cx="54" cy="50" r="18"/></g>',
)


def picture(product: int, name: str, category: str | None) -> Markup:
    """An SVG of 64 by 64 units, without text and without style: it takes the place of a photograph."""
    glyph = glyphs()[glyph_of(category or "", name)]
    mark = (product * 2654435761) % 2**32  # Knuth's multiplicative hash: neighbours differ
    hue = (glyph.hue + mark % (2 * _MOST_HUE_SHIFT + 1) - _MOST_HUE_SHIFT) % 360
    lightness = (mark >> 8) % 9 - 4
    shapes = glyph.shapes.format(
        a=_colour(hue, 68, 52 + lightness),
        b=_colour(hue, 74, 76 + lightness),
        c=_colour(hue, 58, 36 + lightness),
    )
    back, front = _colour(hue, 45, 92), _colour(hue, 48, 85)
    ground = _GROUNDS[(mark >> 16) % len(_GROUNDS)].format(front=front)
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
        f'<path d="M0 0h64v64H0z" fill="{back}"/>{ground}'
        f'<g transform="translate(6.4 6.8) scale(.8)">{shapes}</g></svg>'
    )


def _colour(hue: int, saturation: int, lightness: int) -> str:
    parts = colorsys.hls_to_rgb(hue / 360, lightness / 100, saturation / 100)
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)
