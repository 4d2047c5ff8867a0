"""The one interface of all models: ids in, ids out, batch first."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.dataset import Dataset
from features.ids import IdMap
from features.interactions import History
from models.artifact import read_artifact, write_artifact
from models.calibration import Calibration
from models.results import Explanation, Ranking
from models.topk import top_k
from recsys.errors import Invalid, NotFound

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["Exclude", "ModelKind", "Recommender"]

Arrays = dict[str, npt.NDArray[Any]]
Scores = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]

Exclude = Literal["seen"] | npt.ArrayLike | None
"""`"seen"`: what the user touched before; an array of product ids: those, for everybody."""

BLOCK_BYTES = 64 * 2**20
"""Scores are computed in blocks of users of about this size, so memory is bounded whatever their number."""


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
    Parameters: ClassVar[type[DataclassInstance]]

    users_: IdMap
    items_: IdMap
    history_: sparse.csr_matrix
    """csr float32 (users, items): what each user touched up to the moment of the fit, zeros included."""
    moment_: int
    dataset_fingerprint_: str
    calibration_: Calibration | None

    def __init__(self, parameters: DataclassInstance | None = None) -> None:
        chosen = self.Parameters() if parameters is None else parameters
        if not isinstance(chosen, self.Parameters):
            raise TypeError(f"{type(self).__name__} takes {self.Parameters.__name__}, not {type(chosen).__name__}")
        self.parameters = chosen

    # --- hooks -----------------------------------------------------------------------------------

    @abstractmethod
    def _fit(self, dataset: Dataset) -> None:
        """Learn from the dataset; starts from nothing."""

    @abstractmethod
    def _score(self, history: sparse.csr_matrix, rows: Rows, out: Scores) -> None:
        """Fill `out` (n, items) with scores, -inf for items this model can say nothing about.

        history : csr float32 (n, items), positive weights only, one row per user asked for.
        rows : int64 (n,), rows of the users in `users_`, -1 for users who are folded in by their history.
        """

    @abstractmethod
    def _score_similar(self, items: Rows, out: Scores) -> None:
        """Fill `out` (n, all items) with the likeness to each of `items` (n,), -inf where nothing is known."""

    @abstractmethod
    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """What each entry of one user's history adds to the scores of `items` (m,).

        Returns contributions, float32 (m, history.nnz) in the order of `history.indices`, and
        baselines, float32 (m,); they add up to the scores of `_score`.
        """

    @abstractmethod
    def _arrays(self) -> Arrays:
        """What `fit` learned, as named arrays, for the artifact."""

    @abstractmethod
    def _restore(self, arrays: Arrays) -> None:
        """Take back what `_arrays` gave."""

    # --- fitting ---------------------------------------------------------------------------------

    def fit(self, dataset: Dataset) -> Self:
        """Learn from `dataset`, starting from nothing. Raises Invalid when it holds no event to learn from."""
        if dataset.matrix.nnz == 0:
            raise Invalid(
                f"the dataset holds no interaction with a positive weight ({len(dataset.events)} events in all); "
                "import interactions or change the weights, then run `recsys features build`"
            )
        self.users_, self.items_ = dataset.users, dataset.items
        self.history_ = dataset.touched
        self.moment_ = dataset.moment
        self.dataset_fingerprint_ = dataset.fingerprint
        self.calibration_ = None
        self._fit(dataset)
        return self

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
        """The k best products of each user (int64 ids, shape (n,)).

        exclude : see `Exclude`. only : product ids to choose from (default: all).
        A user unknown at fit time gets an empty row; see `recommend_from`.
        """
        asked = _ids(users, "users")
        _check_k(k)
        products = np.full((asked.size, k), -1, dtype=np.int64)
        scores = np.full((asked.size, k), -np.inf, dtype=np.float32)
        rows = self.users_.index(asked)
        known = np.flatnonzero(rows >= 0)
        for part in self._blocks(known.size):
            places = known[part]
            block_rows = rows[places]
            history = self.history_[block_rows]
            products[places], scores[places] = self._rank(history, block_rows, k, exclude, only)
        return Ranking(asked, products, scores)

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
        _check_k(k)
        products = np.full((len(histories), k), -1, dtype=np.int64)
        scores = np.full((len(histories), k), -np.inf, dtype=np.float32)
        for part in self._blocks(len(histories)):
            history = self._matrix_of([histories[i] for i in part])
            nobody = np.full(history.shape[0], -1, dtype=np.int64)
            products[part], scores[part] = self._rank(history, nobody, k, exclude, only)
        return Ranking(np.arange(len(histories), dtype=np.int64), products, scores)

    def similar_items(self, products: npt.ArrayLike, k: int, *, only: npt.ArrayLike | None = None) -> Ranking:
        """The k products most like each of `products`, itself left out; an unknown product gets an empty row."""
        asked = _ids(products, "products")
        _check_k(k)
        found = np.full((asked.size, k), -1, dtype=np.int64)
        scores = np.full((asked.size, k), -np.inf, dtype=np.float32)
        rows = self.items_.index(asked)
        known = np.flatnonzero(rows >= 0)
        closed = self._closed(None, only)
        for part in self._blocks(known.size):
            places = known[part]
            out = self._buffer(places.size)
            self._score_similar(rows[places], out)
            out[np.arange(places.size), rows[places]] = -np.inf
            if closed is not None:
                out[:, closed] = -np.inf
            columns, scores[places] = top_k(out, k)
            found[places] = np.where(columns >= 0, self.items_.ids[columns], -1)
        return Ranking(asked, found, scores)

    def explain(self, user: int, product: int) -> Explanation:
        """The parts of the score of one product for one user. Raises NotFound for an id unknown at fit time."""
        if not self.knows(user):
            raise NotFound(f"user {user} was not in the training data; use explain_from with a history")
        row = int(self.users_.index([user])[0])
        return self._explain(_positive(self.history_[[row]]), row, product)

    def explain_from(self, history: History, product: int) -> Explanation:
        """The same for a user or guest who is folded in."""
        return self._explain(_positive(self._matrix_of([history])), -1, product)

    def evidence(self, ranking: Ranking, histories: Sequence[History] | None = None) -> npt.NDArray[np.int64]:
        """For each recommended product, the one of the user's own products that speaks most for it.

        int64, shape of `ranking.products`; -1 where nothing in the history does (popularity, for example).
        With `histories` the rows of `ranking` are those of `recommend_from`.
        """
        best = np.full(ranking.products.shape, -1, dtype=np.int64)
        rows = self.users_.index(ranking.queries) if histories is None else np.full(len(ranking), -1, dtype=np.int64)
        for i in range(len(ranking)):
            products, _ = ranking.row(i)
            if products.size == 0 or (histories is None and rows[i] < 0):
                continue
            history = self.history_[[rows[i]]] if histories is None else self._matrix_of([histories[i]])
            history = _positive(history)
            if history.nnz == 0:
                continue
            parts, _ = self._contributions(history, int(rows[i]), self.items_.index(products))
            top = parts.argmax(axis=1)
            speaks = parts[np.arange(products.size), top] > 0
            best[i, : products.size] = np.where(speaks, self.items_.ids[history.indices[top]], -1)
        return best

    # --- the artifact ----------------------------------------------------------------------------

    def save(self, folder: Path) -> str:
        """Write the artifact whole or not at all; return its checksum (equal models give equal checksums)."""
        header = {
            "algorithm": self.algorithm,
            "kind": self.kind.value,
            "parameters": asdict(self.parameters),
            "moment": self.moment_,
            "dataset": self.dataset_fingerprint_,
            "calibration": None if self.calibration_ is None else self.calibration_.as_json(),
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
        """Read an artifact of this class, memory-mapped. Raises NotFound, or Invalid when damaged or of another class."""
        header, arrays = read_artifact(folder, verify=verify)
        if header["algorithm"] != cls.algorithm:
            raise Invalid(f"{folder} holds a model of algorithm {header['algorithm']!r}, not {cls.algorithm!r}")
        model = cls(cls.Parameters(**_known_parameters(cls.Parameters, header["parameters"], folder)))
        model.users_, model.items_ = IdMap(arrays["users"]), IdMap(arrays["items"])
        parts = (arrays["history_data"], arrays["history_indices"], arrays["history_indptr"])
        model.history_ = sparse.csr_matrix(parts, shape=(len(model.users_), len(model.items_)))
        model.moment_ = int(header["moment"])
        model.dataset_fingerprint_ = header["dataset"]
        saved = header["calibration"]
        model.calibration_ = None if saved is None else Calibration.from_json(saved)
        model._restore({name.removeprefix("fitted_"): a for name, a in arrays.items() if name.startswith("fitted_")})
        return model

    # --- shared steps ----------------------------------------------------------------------------

    def _blocks(self, n: int) -> Iterator[npt.NDArray[np.int64]]:
        size = max(1, BLOCK_BYTES // (4 * max(1, len(self.items_))))
        for start in range(0, n, size):
            yield np.arange(start, min(n, start + size), dtype=np.int64)

    def _buffer(self, n: int) -> Scores:
        # a fresh matrix for each block costs several times the multiplication (page faults): keep one
        kept: Scores | None = getattr(self, "_kept_buffer", None)
        if kept is None or kept.shape[0] < n or kept.shape[1] != len(self.items_):
            kept = np.empty((n, len(self.items_)), dtype=np.float32)
            self._kept_buffer = kept
        return kept[:n]

    def _rank(
        self, history: sparse.csr_matrix, rows: Rows, k: int, exclude: Exclude, only: npt.ArrayLike | None
    ) -> tuple[npt.NDArray[np.int64], Scores]:
        out = self._buffer(history.shape[0])
        self._score(_positive(history), rows, out)
        if isinstance(exclude, str):
            if exclude != "seen":
                raise ValueError(f'exclude is "seen", an array of product ids or None, not {exclude!r}')
            owner = np.repeat(np.arange(history.shape[0]), np.diff(history.indptr))
            out[owner, history.indices] = -np.inf
            closed = self._closed(None, only)
        else:
            closed = self._closed(exclude, only)
        if closed is not None:
            out[:, closed] = -np.inf
        columns, scores = top_k(out, k)
        return np.where(columns >= 0, self.items_.ids[columns], -1), scores

    def _closed(self, exclude: npt.ArrayLike | None, only: npt.ArrayLike | None) -> npt.NDArray[np.bool_] | None:
        if exclude is None and only is None:
            return None
        closed = np.zeros(len(self.items_), dtype=bool)
        if only is not None:
            closed[:] = True
            allowed = self.items_.index(_ids(only, "only"))
            closed[allowed[allowed >= 0]] = False
        if exclude is not None:
            barred = self.items_.index(_ids(exclude, "exclude"))
            closed[barred[barred >= 0]] = True
        return closed

    def _matrix_of(self, histories: Sequence[History]) -> sparse.csr_matrix:
        sizes = [history.products.size for history in histories]
        owner = np.repeat(np.arange(len(histories)), sizes)
        products = np.concatenate([h.products for h in histories]) if histories else np.empty(0, np.int64)
        weights = np.concatenate([h.weights for h in histories]) if histories else np.empty(0, np.float32)
        columns = self.items_.index(products)
        known = columns >= 0
        shape = (len(histories), len(self.items_))
        summed = sparse.coo_matrix((weights[known].astype(np.float64), (owner[known], columns[known])), shape=shape)
        matrix = summed.tocsr()
        matrix.sort_indices()
        matrix.data = np.maximum(matrix.data, 0.0)
        return matrix.astype(np.float32)

    def _explain(self, history: sparse.csr_matrix, row: int, product: int) -> Explanation:
        item = int(self.items_.index([product])[0])
        if item < 0:
            raise NotFound(f"product {product} was not in the training data")
        parts, baseline = self._contributions(history, row, np.array([item], dtype=np.int64))
        order = np.argsort(-parts[0], kind="stable")
        named = tuple((int(self.items_.ids[history.indices[j]]), float(parts[0, j])) for j in order if parts[0, j] != 0)
        score = float(baseline[0]) + float(parts[0].sum(dtype=np.float64))
        return Explanation(product, score, float(baseline[0]), named)


def _positive(history: sparse.csr_matrix) -> sparse.csr_matrix:
    if history.nnz and float(history.data.min()) > 0:
        return history
    positive = history.copy()
    positive.eliminate_zeros()
    return positive


def _ids(values: npt.ArrayLike, name: str) -> npt.NDArray[np.int64]:
    array = np.asarray(values)
    if array.size == 0:
        return np.empty(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be a one-dimensional array of integer ids, not {array.dtype} {array.shape}")
    return array.astype(np.int64)


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")


def _known_parameters(cls: type[DataclassInstance], given: dict[str, Any], folder: Path) -> dict[str, Any]:
    known = {field.name for field in fields(cls)}
    if unknown := sorted(given.keys() - known):
        raise Invalid(f"{folder} was written with parameters this version does not know: {', '.join(unknown)}")
    return given
