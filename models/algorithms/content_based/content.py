"""Products like those the user took or spoke of, by what the catalogue says of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset, Words
from models.algorithms.shared.item_vectors import (
    band_ranges,
    bands_of,
    embedding_vectors,
    every_band,
    identity,
    joined,
    one_hot,
    path_levels,
    price_edges,
    text_vectors,
)
from models.algorithms.shared.user_profiles import Facet, FacetMatrices, matrix_arrays, matrix_of
from models.base import Arrays, ModelKind, Recommender, Rows, Scores
from models.shared.sparse_products import only_positive, scores_of_users
from models.shared.validation import check_float, check_int
from recsys.errors import Invalid

__all__ = ["ContentBased", "ContentBasedParameters"]

PARTS = ("text", "category", "brand", "price", "colour", "size", "style", "embedding")


@dataclass(frozen=True)
class ContentBasedParameters:
    """Parameters of `ContentBased`.

    Parameters
    ----------
    text, category, brand, price, colour, size, style, embedding
        Weight of each part in the likeness of two products; 0 leaves it out. `embedding` are the shop's own
        vectors, where it gives some.
    terms
        At most so many different words are learned, the most frequent ones.
    terms_per_item
        So many of an item's words are kept, the heaviest; bounds memory and time.
    embedding_factors
        Longer vectors of the shop are brought to so many numbers; bounds memory and time.
    price_bands
        Into how many bands of equally many products prices are cut.
    preference
        Share of a user's likings (explicit, and inferred from their history) in their profile, the rest being
        the products themselves; 0 leaves likings out.
    prior
        So much behaviour, in summed weights, is little; see `features.affinities`.
    """

    text: float = 1.0
    category: float = 1.0
    brand: float = 0.5
    price: float = 0.25
    colour: float = 0.25
    size: float = 0.25
    style: float = 0.25
    embedding: float = 2.0
    terms: int = 50_000
    terms_per_item: int = 24
    embedding_factors: int = 64
    price_bands: int = 5
    preference: float = 0.7
    prior: float = 10.0

    def __post_init__(self) -> None:
        for name in PARTS:
            check_float(self, name, 0.0, 1_000.0)
        check_int(self, "terms", 1, 10_000_000)
        check_int(self, "terms_per_item", 1, 10_000)
        check_int(self, "embedding_factors", 1, 4_096)
        check_int(self, "price_bands", 1, 1_000)
        check_float(self, "preference", 0.0, 1.0)
        check_float(self, "prior", 0.0, 1e6, above_low=True)
        if sum(getattr(self, name) for name in PARTS) == 0:
            raise Invalid(f"parameters {', '.join(PARTS)} of ContentBased are all 0; raise one of them")


class ContentBased(Recommender):
    """score(u, i) = v_i · ((1 − p) · unit(sum over the history of weight(j) × v_j) + p · liked(u)).

    v_i is the unit vector of the item's parts (Lops, de Gemmis & Semeraro 2011, "Content-based recommender
    systems", section 3.3): TF-IDF of its text, one entry per level of its category path, its brand, its price
    band, its colours, sizes and styles, and the shop's own vector (`embedding_vectors`). Each part is a unit
    vector times the root of its weight, so the likeness of two complete products is the weighted mean of the
    likenesses of their parts.

    liked(u) is the unit vector of the user's affinities in the same parts, but text
    (`models.algorithms.shared.user_profiles`): the explicit preferences of u, and those inferred of words
    without an explicit one. p is `preference`; explicit preferences draw it towards 1, as an affinity
    is drawn towards the shop's, by W(u) / (W(u) + prior) with summed weights W. A user without history has no
    first term.
    Products that share nothing with the profile are not shown.
    """

    algorithm: ClassVar[str] = "content"
    kind: ClassVar[ModelKind] = ModelKind.CONTENT
    knows_rare: ClassVar[bool] = True
    Parameters = ContentBasedParameters
    parameters: ContentBasedParameters

    vectors_: sparse.csr_matrix
    """csr float32 (items, features): unit rows; an item of which nothing is known has an empty one."""
    taste_: FacetMatrices
    """The explicit preferences of users, and what affinities are inferred from."""

    def _fit(self, dataset: Dataset) -> None:
        chosen, features, preferences = self.parameters, dataset.item_features, dataset.preferences
        paths, edges = path_levels(features.category_paths), price_edges(features.price, chosen.price_bands)
        bands = edges.size + 1
        priced = every_band(band_ranges(preferences.price, edges))
        facet_parts = [
            (chosen.category, one_hot(features.category, paths.shape[0]), paths, preferences.categories),
            (chosen.brand, one_hot(features.brand, len(features.brand_names)), None, preferences.brands),
            (chosen.price, one_hot(bands_of(features.price, edges), bands), None, priced),
            (chosen.colour, features.colours.matrix, None, _among(preferences.colours, features.colours)),
            (chosen.size, features.sizes.matrix, None, _among(preferences.sizes, features.sizes)),
            (chosen.style, features.styles.matrix, None, _among(preferences.styles, features.styles)),
        ]
        blocks = [(chosen.text, text_vectors(features.text, chosen.terms, chosen.terms_per_item))]
        facets: list[Facet] = []
        place = blocks[0][1].shape[1]
        for weight, has, levels, liked in facet_parts:
            onto = identity(has.shape[1]) if levels is None else levels
            blocks.append((weight, sparse.csr_matrix(has @ onto)))
            facets.append(Facet(weight, place, has, onto, liked))
            place += onto.shape[1]
        if features.embeddings.shape[1]:
            blocks.append(
                (chosen.embedding, embedding_vectors(features.embeddings, chosen.embedding_factors))
            )
            place += blocks[-1][1].shape[1]
        self.vectors_ = joined(blocks)
        self.taste_ = FacetMatrices.of(facets, dataset.matrix, place, chosen.prior)

    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        scores_of_users(self.vectors_, self._profiles(history, rows).toarray(), out, only_positive)

    def _profiles(self, history: sparse.csr_matrix, rows: Rows) -> sparse.csr_matrix:
        """csr float32 (n, features)."""
        share = self._share(history, rows)
        done = sparse.csr_matrix(history @ self.vectors_)
        profile = sparse.csr_matrix(sparse.diags_array(_scale(done, share)) @ done)
        liking = np.flatnonzero(share > 0)
        if liking.size == 0:
            return profile
        explicit, inferred = self.taste_.profiles(history[liking], rows[liking])
        placed = sparse.csr_matrix(
            (share[liking], (liking, np.arange(liking.size))), shape=(rows.size, liking.size)
        )
        return sparse.csr_matrix(profile + placed @ (explicit + inferred))

    def _share(self, history: sparse.csr_matrix, rows: Rows) -> npt.NDArray[np.float32]:
        """p of the formula, float32 (n,)."""
        chosen = self.parameters
        little = chosen.prior / (np.asarray(history.sum(axis=1), dtype=np.float64).ravel() + chosen.prior)
        has_explicit = self.taste_.has_explicit(rows) & (chosen.preference > 0)
        share = chosen.preference + np.where(has_explicit, (1.0 - chosen.preference) * little, 0.0)
        return share.astype(np.float32)

    def _score_similar(self, items: Rows, out: Scores) -> None:
        """Cosine of the item vectors."""
        scores_of_users(self.vectors_, self.vectors_[items].toarray(), out, only_positive)

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        rows, wanted = np.array([row], dtype=np.int64), self.vectors_[items]
        share = self._share(history, rows)
        scale = _scale(sparse.csr_matrix(history @ self.vectors_), share)
        parts = (wanted @ self.vectors_[history.indices].T).toarray() * history.data * scale
        if share[0] == 0:
            return parts.astype(np.float32), np.zeros(items.size, dtype=np.float32)
        explicit, _ = self.taste_.profiles(history, rows)
        parts = parts + share * self.taste_.shares_of(history, row, wanted)
        baseline = (wanted @ explicit.T).toarray().ravel() * share
        return parts.astype(np.float32), baseline.astype(np.float32)

    def _arrays(self) -> Arrays:
        taste = {f"taste_{name}": array for name, array in self.taste_.arrays().items()}
        return {**matrix_arrays("vectors", self.vectors_), **taste}

    def _restore(self, arrays: Arrays) -> None:
        self.vectors_ = matrix_of("vectors", arrays)
        taste = {name.removeprefix("taste_"): a for name, a in arrays.items() if name.startswith("taste_")}
        self.taste_ = FacetMatrices.restore(taste, self.parameters.prior)


def _scale(profile: sparse.csr_matrix, share: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What a summed profile is multiplied by: what `share` leaves of it, divided by its length."""
    lengths = np.sqrt(np.asarray(profile.multiply(profile).sum(axis=1)).ravel())
    scale = np.divide(1.0 - share, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    return np.asarray(scale, dtype=np.float32)


def _among(explicit: Words, known: Words) -> sparse.csr_matrix:
    """The explicit preferences for words that a product has, csr float32 (users, known words)."""
    code = {word: i for i, word in enumerate(known.words)}
    shared = [(i, code[word]) for i, word in enumerate(explicit.words) if word in code]
    old, new = (np.array([pair[side] for pair in shared], dtype=np.int64) for side in (0, 1))
    taken = explicit.matrix[:, old].tocsr()
    parts = (taken.data, new[taken.indices], taken.indptr)
    return sparse.csr_matrix(parts, shape=(explicit.matrix.shape[0], len(known.words)))
