"""Short names for addresses: lower case letters, digits and hyphens."""

from __future__ import annotations

import hashlib

import polars as pl

__all__ = ["slug", "slug_of"]

DIGEST = 10


def slug(texts: pl.Series, *, exact: bool, longest: int) -> pl.Series:
    """The slug of each text.

    Parameters
    ----------
    exact
        Different texts never share a slug: a text that a slug cannot spell (capitals, accents, spaces, too
        long) gets a digest behind it.
    longest
        The most characters of a slug.
    """
    plain = (
        texts.str.normalize("NFKD")
        .str.to_lowercase()
        .str.replace_all(r"[^\x00-\x7f]", "")
        .str.replace_all("[^a-z0-9]+", "-")
        .str.strip_chars("-")
        .str.head(longest)
    )
    if not exact:
        return plain
    lossy = (plain != texts).arg_true()
    if not lossy.len():
        return plain
    short = plain.gather(lossy).str.head(longest - DIGEST - 1).to_list()
    digests = [hashlib.sha256(text.encode()).hexdigest()[:DIGEST] for text in texts.gather(lossy)]
    spelled = [f"{head}-{digest}" if head else digest for head, digest in zip(short, digests, strict=True)]
    return plain.scatter(lossy, pl.Series(spelled))


def slug_of(text: str, *, exact: bool, longest: int) -> str:
    """The slug of one text."""
    return str(slug(pl.Series([text], dtype=pl.String), exact=exact, longest=longest)[0])
