"""The one interface of all models: ids in, ids out, batch first."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.ids import IdMap
from features.interactions import History
from models.ranking.calibration import BuyingChances, Calibration, maps_as_json, maps_from_json
from models.ranking.explanations import Reasons, explained, opinion_of_whole, strongest
from models.ranking.filters import Exclude, RankRequest, Selection, as_ids, positive, summed_histories
from models.registry.artifact import read_artifact, write_artifact
from models.results import Explanation, MemberOpinion, Ranking
from models.shared.memory_budget import refuse_if_larger
from models.shared.parallel import WORKERS, even_parts, in_parallel
from models.shared.score_blocks import DenseScores, ScoreBlock
from recsys.errors import Invalid, NotFound

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from models.shared.fitted_members import FittedMembers

__all__ = ["Exclude", "ModelKind", "Reasons", "Recommender"]

Arrays = dict[str, npt.NDArray[Any]]
Scores = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
BLOCK_BYTES = 128 * 2**20 // WORKERS
"""Scores are computed in blocks of about this size, one per thread: memory is bounded however many users."""


class ModelKind(StrEnum):
    """`recommendation_models.type`."""

    COLLABORATIVE = "collaborative_filtering"
    CONTENT = "content_based"
    HYBRID = "hybrid"


class Recommender(ABC):
    """A model. Hyper-parameters are stored at construction; what `fit` learns ends in an underscore.

    A subclass names its `algorithm`, `kind` and `Parameters` (a frozen dataclass of JSON values) and
    writes the private hooks; checking, id mapping, exclusion and ranking happen here, once.
    """

    algorithm: ClassVar[str]
    kind: ClassVar[ModelKind]
    knows_rare: ClassVar[bool] = False
    """Whether it can tell products that hardly anybody took from each other, by what the catalogue says."""
    Parameters: ClassVar[type[DataclassInstance]]

    users_: IdMap
    items_: IdMap
    history_: sparse.csr_matrix
    """csr float32 (users, items): what each user touched up to the moment of the fit, zeros included."""
    moment_: int
    dataset_fingerprint_: str
    calibration_: Calibration | None
    """Of lists of any product."""
    calibration_new_: Calibration | None
    """Of lists of what is new to the user; None: as `calibration_`."""
    chances_: BuyingChances | None = None

    def __init__(self, parameters: DataclassInstance | None = None) -> None:
        chosen = self.Parameters() if parameters is None else parameters
        if not isinstance(chosen, self.Parameters):
            raise TypeError(
                f"{type(self).__name__} takes {self.Parameters.__name__}, not {type(chosen).__name__}"
            )
        self.parameters = chosen
        self._of_thread = threading.local()

    # --- hooks: every one but `_fit` and `_restore` may be called by several threads at once ------------

    @abstractmethod
    def _fit(self, dataset: Dataset) -> None:
        """Learn from the dataset; starts from nothing."""

    @abstractmethod
    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        """Fill all of `out` (n, items) with scores, never NaN; -inf where the model can say nothing.

        Parameters
        ----------
        history : csr float32, shape (n, items), positive weights only
        rows : int64, shape (n,)
            Of the users in `users_`, -1 for users who are folded in by their history.
        """

    def _answer(self, request: RankRequest, out: Scores) -> None:
        """`_score` of one block; a model that needs more than weights (which task, times) overrides this."""
        self._score(positive(request.history), request.rows, out)

    def _opinions(self, request: RankRequest, out: Scores) -> ScoreBlock:
        """The scores of `_answer` in the cheapest form, in `out` or not; `request.shown` is not looked at."""
        self._answer(request, out)
        return DenseScores(out)

    def _scores_among(
        self, request: RankRequest, columns: Rows, out: Scores, *, is_pool: bool = False
    ) -> bool:
        """Fill `out` (n, columns.size) with the scores of `_answer` for these item rows, increasing.

        With `is_pool` all requests pass one array, whose part may be kept. False: no gain, nothing written.
        """
        return False

    def _reasons(
        self, request: RankRequest, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """`_contributions` of the one row of `request`; overridden together with `_answer`."""
        return self._contributions(positive(request.history), int(request.rows[0]), items)

    def _reasons_for(self, items: Rows) -> Reasons:
        """`_reasons` for many lists of `items` (rising) only; preparing each once takes `_prepared_bytes`."""
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
        contributions : float32, shape (m, history.nnz), in the order of `history.indices`
        baselines : float32, shape (m,); both add up to the scores of `_score`
        """

    @abstractmethod
    def _arrays(self) -> Arrays:
        """What `fit` learned, as named arrays, for the artifact."""

    @abstractmethod
    def _restore(self, arrays: Arrays) -> None:
        """Take back what `_arrays` gave."""

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

    def share(self, known: FittedMembers) -> None:  # noqa: B027 - most models have no members
        """Take members from `known` where it has them; only a model made of others has a use for that."""

    def successor(self) -> Self:
        """An unfitted model with the same parameters and choices: a refit is the model that was evaluated."""
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
        """The k best products of each user; an empty row for one unknown at fit time, see `recommend_from`.

        Parameters
        ----------
        users : int64, shape (n,)
        only : int64, shape (m,)
            Product ids to choose from (default: all).
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

        Products unknown at fit time are ignored; `queries` of the answer are the positions 0..n-1.
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
        """The parts of the score of one product for one user, in a list with this `exclude`.

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
            -1 where nothing does (popularity, for example). With `histories`, rows as of `recommend_from`.
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
        """Each member's opinion on a product, as in `recommend_from`; empty for an unknown product."""
        item = int(self.items_.index([product])[0])
        request = self._fold_in_request([history], Selection.of(self.items_, exclude, only))
        return () if item < 0 else self._opinions_on(request, item)

    # --- the artifact ----------------------------------------------------------------------------

    def save(self, folder: Path) -> str:
        """Write the artifact whole or not at all; return its checksum (equal models give equal checksums)."""
        header = {
            "algorithm": self.algorithm,
            "kind": self.kind.value,
            "parameters": asdict(self.parameters),
            "moment": self.moment_,
            "dataset": self.dataset_fingerprint_,
            **maps_as_json(self.calibration_, self.calibration_new_, self.chances_),
        }
        arrays: Arrays = {
            "users": self.users_.ids,
            "items": self.items_.ids,
            "history_indptr": self.history_.indptr.astype(np.int64),
            "history_indices": self.history_.indices.astype(np.int32),
            "history_data": self.history_.data.astype(np.float32),
        }
        own = {f"fitted_{name}": array for name, array in self._arrays().items()}
        return write_artifact(folder, header, arrays | own)

    @classmethod
    def load(cls, folder: Path, *, verify: bool = True) -> Self:
        """Read an artifact of this class, memory-mapped; `verify=False` skips checksums.

        Raises
        ------
        NotFound
        Invalid
            When it is damaged or of another class.
        """
        header, arrays = read_artifact(folder, verify=verify)
        if header["algorithm"] != cls.algorithm:
            raise Invalid(
                f"{folder} holds a model of algorithm {header['algorithm']!r}, not {cls.algorithm!r}"
            )
        model = cls(cls.Parameters(**_known_parameters(cls.Parameters, header["parameters"], folder)))
        try:
            model.users_, model.items_ = IdMap(arrays["users"]), IdMap(arrays["items"])
            parts = (arrays["history_data"], arrays["history_indices"], arrays["history_indptr"])
            model.history_ = sparse.csr_matrix(parts, shape=(len(model.users_), len(model.items_)))
            model.moment_ = int(header["moment"])
            model.dataset_fingerprint_ = header["dataset"]
            maps = maps_from_json(header)
            model.calibration_, model.calibration_new_, model.chances_ = maps
            own = {n.removeprefix("fitted_"): a for n, a in arrays.items() if n.startswith("fitted_")}
            model._restore(own)
        except (KeyError, ValueError) as error:
            raise Invalid(
                f"{folder} does not hold what a model of algorithm {cls.algorithm!r} needs ({error}); "
                "train the model again"
            ) from error
        return model

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


def _known_parameters(cls: type[DataclassInstance], given: dict[str, Any], folder: Path) -> dict[str, Any]:
    known = {field.name for field in fields(cls)}
    if unknown := sorted(given.keys() - known):
        raise Invalid(
            f"{folder} was written with parameters this version does not know: {', '.join(unknown)}"
        )
    return given
