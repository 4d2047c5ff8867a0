"""The one interface of all models: ids in, ids out, batch first."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.interactions import History
from models.ranking.explanations import Reasons, explained, opinion_of_whole, strongest
from models.ranking.filters import Exclude, RankRequest, Selection, as_ids, positive, summed_histories
from models.results import Explanation, MemberOpinion, Ranking
from models.shared.fitted_state import FittedState, ModelKind
from models.shared.memory_budget import refuse_if_larger
from models.shared.parallel import WORKERS, even_parts, in_parallel
from models.shared.score_blocks import DenseScores, ScoreBlock
from recsys.errors import Invalid, NotFound

if TYPE_CHECKING:
    from models.shared.fitted_members import FittedMembers

__all__ = ["ColumnScorer", "Exclude", "ModelKind", "Reasons", "Recommender"]

Arrays = dict[str, npt.NDArray[Any]]
Scores = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
BLOCK_BYTES = 128 * 2**20 // WORKERS
"""Scores are computed in blocks of about this size, one per thread: memory is bounded however many users."""


class ColumnScorer(Protocol):
    """Scores some products for the users of a request."""

    def __call__(self, columns: Rows, out: Scores, *, is_pool: bool = False) -> None:
        """Fill `out` with the scores of these item rows.

        Parameters
        ----------
        columns : int64, shape (c,), increasing
        out : float32, shape (n, c)
        is_pool
            The same array `columns` is passed with each request; what is taken for it may be kept.
        """


class Recommender(FittedState):
    """A model. Hyper-parameters are stored at construction; what `fit` learns ends in an underscore.

    A subclass names its `algorithm`, `kind` and `Parameters` (a frozen dataclass of JSON values) and
    writes the private hooks; checking, id mapping, exclusion and ranking happen here, once.
    """

    # --- hooks: every one but `_fit` and `_restore` may be called by several threads at once ------------

    @abstractmethod
    def _fit(self, dataset: Dataset) -> None:
        """Learn from the dataset; starts from nothing."""

    @abstractmethod
    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        """Fill all of `out` (n, items) with scores, never NaN; -inf where the model can say nothing.

        Parameters
        ----------
        history : csr float32, shape (n, items)
            Positive weights only, one row per user asked for.
        rows : int64, shape (n,)
            Rows of the users in `users_`, -1 for users who are folded in by their history.
        out : float32, shape (n, items)
            To be filled.
        """

    def _answer(self, request: RankRequest, out: Scores) -> None:
        """`_score` of one block; a model that needs more than weights (which task, times) overrides this."""
        self._score(positive(request.history), request.rows, out)

    def _opinions(self, request: RankRequest, out: Scores) -> ScoreBlock:
        """The scores of `_answer` in the form that is cheapest for this model.

        What the block closes or hides later is not the model's concern: `request.shown` is not looked at.

        Parameters
        ----------
        out : float32, shape (n, items)
            May be used, and may then be part of what is returned.
        """
        self._answer(request, out)
        return DenseScores(out)

    def _column_scorer(self, request: RankRequest) -> ColumnScorer | None:
        """What fills in the scores of `_answer` for some item rows; users are looked at once for all calls.

        Returns
        -------
        ColumnScorer or None
            None where a model does not gain by leaving the other items out.
        """
        return None

    def _reasons(
        self, request: RankRequest, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """`_contributions` of the one row of `request`; overridden together with `_answer`."""
        return self._contributions(positive(request.history), int(request.rows[0]), items)

    def _reasons_for(self, items: Rows) -> Reasons:
        """`_reasons` for many users whose lists hold nothing but `items`.

        A model that can compute once for all of them what a reason needs of each product overrides this,
        and `_prepared_bytes`: what that takes for one product.

        Parameters
        ----------
        items : int64, shape (m,)
            Item rows, increasing, each once.
        """
        return self._reasons

    def _prepared_bytes(self) -> int:
        return 0

    @abstractmethod
    def _score_similar(self, items: Rows, out: Scores) -> None:
        """Fill `out` (n, all items) with likeness to each of `items` (n,), -inf where nothing is known."""

    @abstractmethod
    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """What each entry of one user's history adds to the scores of `items` (m,).

        Returns
        -------
        contributions : float32, shape (m, history.nnz)
            In the order of `history.indices`.
        baselines : float32, shape (m,)
            What each item has without a history: both add up to the scores of `_score`.
        """

    # --- fitting ---------------------------------------------------------------------------------

    def forecast(self, users: int, items: int, nnz: int) -> int:
        """Peak bytes of a fit beyond the dataset; a model that needs more than copies of it says so."""
        return 40 * nnz + 8 * (users + items)

    def fit(self, dataset: Dataset) -> Self:
        """Learn from `dataset`, starting from nothing. Raises Invalid when it holds nothing to learn from."""
        if dataset.matrix.nnz == 0:
            raise Invalid(
                f"no interaction in the dataset has a positive weight ({len(dataset.events)} events in all); "
                "import interactions or change the weights, then run `recsys features build`"
            )
        shape = len(dataset.users), len(dataset.items), int(dataset.matrix.nnz)
        described = f"{shape[0]:,} users, {shape[1]:,} products and {shape[2]:,} pairs"
        refuse_if_larger(self.forecast(*shape), self.algorithm, described)
        self.users_, self.items_ = dataset.users, dataset.items
        self.history_ = dataset.touched
        self.moment_ = dataset.moment
        self.dataset_fingerprint_ = dataset.fingerprint
        self.calibration_ = self.calibration_new_ = self.chances_ = None
        self._fit(dataset)
        return self

    def share(self, known: FittedMembers) -> None:
        """Take members from `known` where it has them; only a model made of others has a use for that."""

    def successor(self) -> Self:
        """An unfitted model with the same parameters and with the choices that this one made in its fit.

        A refit on more data is then the model that was evaluated: it makes no new choices.
        """
        return type(self)(self.parameters)

    # --- answers ---------------------------------------------------------------------------------

    def knows(self, user: int) -> bool:
        """Whether this user was there at fit time."""
        return user in self.users_

    def recommend(
        self,
        users: npt.ArrayLike,
        k: int,
        *,
        exclude: Exclude = None,
        only: npt.ArrayLike | None = None,
    ) -> Ranking:
        """The k best products of each user.

        Parameters
        ----------
        users : int64, shape (n,)
            User ids. An id that was unknown at fit time gets an empty row; see `recommend_from`.
        k
            Length of a list, at least 1.
        exclude
            Which products are left out of each list; see `Exclude`.
        only : int64, shape (m,)
            Product ids to choose from (default: all).

        Raises
        ------
        ValueError
            For k below 1, and for ids that are no integers.
        """
        asked = as_ids(users, "users")
        shown = Selection.of(self.items_, exclude, only)
        rows = self.users_.index(asked)
        known = np.flatnonzero(rows >= 0)

        def rank(part: Rows) -> tuple[Rows, Rows, Scores]:
            places = known[part]
            return places, *self._rank(RankRequest(self.history_[rows[places]], rows[places], shown), k)

        return self._gathered(asked, k, known.size, rank)

    def recommend_from(
        self,
        histories: Sequence[History],
        k: int,
        *,
        exclude: Exclude = None,
        only: npt.ArrayLike | None = None,
    ) -> Ranking:
        """The k best products for users or guests unseen at fit time, by what they did (fold-in).

        Parameters
        ----------
        histories
            One for each list. Products unknown at fit time are ignored.
        k, exclude, only
            As of `recommend`.

        Returns
        -------
        Ranking
            Its `queries` are the positions 0..n-1 in `histories`.
        """
        shown = Selection.of(self.items_, exclude, only)

        def rank(part: Rows) -> tuple[Rows, Rows, Scores]:
            return part, *self._rank(self._fold_in_request([histories[i] for i in part], shown), k)

        return self._gathered(np.arange(len(histories), dtype=np.int64), k, len(histories), rank)

    def similar_items(self, products: npt.ArrayLike, k: int, *, only: npt.ArrayLike | None = None) -> Ranking:
        """The k products most like each of `products`, itself left out; an unknown one gets an empty row."""
        asked = as_ids(products, "products")
        shown = Selection.of(self.items_, None, only)
        rows = self.items_.index(asked)
        known = np.flatnonzero(rows >= 0)

        def rank(part: Rows) -> tuple[Rows, Rows, Scores]:
            places = known[part]
            out = self._buffer(places.size)
            self._score_similar(rows[places], out)
            out[np.arange(places.size), rows[places]] = -np.inf
            columns, values = shown.best(out, k)
            return places, self._ids_of(columns), values

        return self._gathered(asked, k, known.size, rank)

    def explain(self, user: int, product: int, *, exclude: Exclude = None) -> Explanation:
        """The parts of the score of one product for one user.

        Parameters
        ----------
        exclude
            As in the list that is explained: `"seen"` where it holds products new to the user only.

        Raises
        ------
        NotFound
            For an unknown id.
        """
        if not self.knows(user):
            raise NotFound(f"user {user} was not in the training data; use explain_from with a history")
        row = int(self.users_.index([user])[0])
        request = replace(RankRequest.one(self.history_, row), shown=Selection.of(self.items_, exclude, None))
        return self._only(explained(self, request, [product]), product)

    def explain_from(self, history: History, product: int, *, exclude: Exclude = None) -> Explanation:
        """The same for a user or guest who is folded in."""
        return self._only(self.explain_list_from(history, [product], exclude=exclude), product)

    def explain_list_from(
        self, history: History, products: npt.ArrayLike, *, exclude: Exclude = None
    ) -> list[Explanation]:
        """The same for several products, each once, prepared for once; unknown ones are left out."""
        request = self._fold_in_request([history], Selection.of(self.items_, exclude, None))
        return explained(self, request, products)

    def evidence(self, ranking: Ranking, histories: Sequence[History] | None = None) -> npt.NDArray[np.int64]:
        """For each recommended product, the one of the user's own products that speaks most for it.

        Returns
        -------
        int64, shape of `ranking.products`
            -1 where nothing in the history does (popularity, for example). With `histories` the rows of
            `ranking` are those of `recommend_from`.
        """
        return strongest(self, ranking, histories)

    def opinions_on(
        self,
        history: History,
        product: int,
        *,
        exclude: Exclude = None,
        only: npt.ArrayLike | None = None,
    ) -> tuple[MemberOpinion, ...]:
        """The opinion of each member on a product for a folded-in history; empty for an unknown product.

        Parameters
        ----------
        exclude, only
            As of `recommend_from`.
        """
        item = int(self.items_.index([product])[0])
        request = self._fold_in_request([history], Selection.of(self.items_, exclude, only))
        return () if item < 0 else self._opinions_on(request, item)

    # --- shared steps ----------------------------------------------------------------------------

    def _gathered(
        self, queries: Rows, k: int, n: int, rank: Callable[[Rows], tuple[Rows, Rows, Scores]]
    ) -> Ranking:
        """One Ranking out of blocks of 0..n-1; `rank` gives the places, products and scores of a block."""
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        products = np.full((queries.size, k), -1, dtype=np.int64)
        scores = np.full((queries.size, k), -np.inf, dtype=np.float32)
        blocks = even_parts(n, self._block(n, k))

        def put(block: Rows) -> None:
            # at once: the lists of all blocks side by side would take as much memory again as the answer
            places, found, values = rank(block)
            products[places], scores[places] = found, values

        in_parallel(put, blocks)
        return Ranking(queries, products, scores)

    def _block(self, n: int, k: int) -> int:
        """How many of `n` users are ranked together, by one thread."""
        return max(1, BLOCK_BYTES // (4 * max(1, len(self.items_))))

    def _buffer(self, n: int) -> Scores:
        # a fresh matrix for each block costs several times the multiplication (page faults): keep one
        size = n * len(self.items_)
        kept: Scores | None = getattr(self._of_thread, "scores", None)
        if kept is None or kept.size < size:
            kept = np.empty(size, dtype=np.float32)
            self._of_thread.scores = kept
        return kept[:size].reshape(n, len(self.items_))

    def _fold_in_request(self, histories: Sequence[History], shown: Selection | None = None) -> RankRequest:
        nobody = np.full(len(histories), -1, dtype=np.int64)
        return RankRequest(self._matrix_once(histories), nobody, shown or Selection.all(), histories)

    def _matrix_once(self, histories: Sequence[History]) -> sparse.csr_matrix:
        """`_matrix_of`; of one history only once, though its list and the reasons for it both ask."""
        if len(histories) != 1:
            return self._matrix_of(histories)
        known: tuple[History, sparse.csr_matrix] | None = getattr(self._of_thread, "history_matrix", None)
        if known is None or known[0] is not histories[0]:
            known = self._of_thread.history_matrix = histories[0], self._matrix_of(histories)
        return known[1].copy()  # a caller may change its copy

    def _rank(self, request: RankRequest, k: int) -> tuple[Rows, Scores]:
        columns, scores = request.shown.best_of_block(self._scores_of(request), k, request.history)
        return self._ids_of(columns), scores

    def _scores_of(self, request: RankRequest) -> ScoreBlock:
        return self._opinions(request, self._buffer(request.history.shape[0]))

    def _rank_both(
        self, request: RankRequest, new: Selection, k: int, k_new: int
    ) -> tuple[tuple[Rows, Scores], tuple[Rows, Scores]]:
        """`_rank` of `request` (k), and of the same users for `new` (k_new), of one set of scores."""
        kind = type(self)
        if kind._answer is not Recommender._answer or kind._rank is not Recommender._rank:
            return self._rank(request, k), self._rank(replace(request, shown=new), k_new)
        block = self._scores_of(request)
        # in this order: to choose what is new hides what was seen from the same scores
        columns, scores = request.shown.best_of_block(block, k, request.history)
        new_columns, new_scores = new.best_of_block(block, k_new, request.history)
        return (self._ids_of(columns), scores), (self._ids_of(new_columns), new_scores)

    def _opinions_on(self, request: RankRequest, item: int) -> tuple[MemberOpinion, ...]:
        return (opinion_of_whole(self, request, item),)

    def _ids_of(self, columns: Rows) -> Rows:
        """Product ids of item rows, -1 for -1."""
        return np.where(columns >= 0, self.items_.ids[columns], -1)

    def _matrix_of(self, histories: Sequence[History]) -> sparse.csr_matrix:
        return summed_histories(histories, self.items_)

    @staticmethod
    def _only(explanations: list[Explanation], product: int) -> Explanation:
        if not explanations:
            raise NotFound(f"product {product} was not in the training data")
        return explanations[0]
