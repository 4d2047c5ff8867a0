"""Matrix factorisation for implicit feedback by alternating least squares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from features.dataset import Dataset
from models.algorithms.shared.factor_model import FactorModel, affordable_factors
from models.algorithms.shared.item_item import finer_bounds
from models.base import Arrays, ModelKind, Rows, Scores
from models.ranking.mips.factors import Factors
from models.shared.computed_once import computed_once
from models.shared.engine import ArrayEngine, compact_product, current_engine, packed, unpacked
from models.shared.parallel import WORKERS, in_parallel, one_blas_thread
from models.shared.validation import check_float, check_int

__all__ = ["ALS", "ALSParameters", "solve_part"]

SHARED_ENTRIES = 8_192
"""Users with about this many history entries in all are solved for together."""

MOST_FACTORS = 256
"""The length that is chosen where memory allows it, see `affordable_factors`."""
BALANCE = 0.05
NOISE_SHARE = 0.45
"""See `effective_parameters`. Chosen on purchases of four public shops, held out of what was learned from, on
the whole shops and on small parts of them."""


@dataclass(frozen=True)
class ALSParameters:
    """Parameters of `ALS`.

    Parameters
    ----------
    factors
        Length of the vectors; 0: as long as is affordable, 256 at most.
    alpha
        Confidence of an interaction = alpha × its weight; everything else has confidence 1. 0: chosen from
        the data, see `effective_parameters`.
    regularization
        lambda, added to the diagonal of each least-squares problem; 0: chosen from the data.
    iterations
        How often users and items are solved for in turn.
    seed
        Of the random item and user vectors that the first iteration starts from.
    """

    factors: int = 0
    alpha: float = 0.0
    regularization: float = 0.0
    iterations: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        check_int(self, "factors", 0, 4_096)
        check_float(self, "alpha", 0.0, 1e6)
        check_float(self, "regularization", 0.0, 1e6)
        check_int(self, "iterations", 1, 1_000)
        check_int(self, "seed", 0, 2**32 - 1)


@dataclass(frozen=True)
class EffectiveParameters:
    """Alpha and lambda of a fit, given or chosen from the data: see `ALSParameters`."""

    alpha: float
    regularization: float


def effective_parameters(
    matrix: sparse.csr_matrix, chosen: ALSParameters, *, is_repeated: bool
) -> EffectiveParameters:
    """Alpha and lambda, as given or as a matrix of weights asks for.

    Where products are taken once, all interactions together weigh BALANCE of all pairs of an active user and
    a taken item, 1 each at least: in the settings that Rendle et al. 2022 ("Revisiting the performance of
    iALS on item recommendation benchmarks", RecSys, arXiv 2110.14037) found for data of several sizes this
    share hardly changes, though alpha changes tenfold. Where people come back, the sums of weights differ so
    much already that they weigh 1 on average.

    With one confidence for all pairs, lambda in front of both matrices of factors lowers each singular
    value of their product by lambda (Srebro, Rennie & Jaakkola 2004, "Maximum-margin matrix factorization",
    NIPS). The largest one of a matrix without any structure, of as many users and items and with entries as
    large, is their root mean square times √users + √items (Yin, Bai & Krishnaiah 1988, "On the limit of the
    largest eigenvalue of the large dimensional sample covariance matrix", Probability Theory and Related
    Fields 78). lambda is NOISE_SHARE of that. A lambda that does not grow with the noise fits it: on two
    parts of MovieLens with 900 users and 400 films NDCG@10 of new products was .211 and .205, it is .261
    and .228.

    Parameters
    ----------
    matrix : csr, shape (users, items)
        Weights.
    chosen
        What is given; 0 where the data decides.
    is_repeated
        Whether people come back for the same products.
    """
    weights = np.asarray(matrix.data, dtype=np.float64)
    users = int(np.count_nonzero(np.diff(matrix.indptr)))
    items = int(np.count_nonzero(matrix.getnnz(axis=0)))
    total = float(weights.sum())
    if total <= 0.0:
        return EffectiveParameters(chosen.alpha or 1.0, chosen.regularization or 1.0)
    share = 0.0 if is_repeated else BALANCE
    alpha = chosen.alpha or max(share * users * items, float(weights.size)) / total
    entry = alpha * float(np.sqrt(weights @ weights / (users * items)))
    noise = entry * float(np.sqrt(users) + np.sqrt(items))
    return EffectiveParameters(alpha, chosen.regularization or NOISE_SHARE * noise)


class ALS(FactorModel):
    """Hu, Koren & Volinsky 2008, "Collaborative filtering for implicit feedback datasets".

    Items come out of the alternation, run by `implicit`. A user is then always the exact minimiser for those
    items, x = (YᵀCY + λI)⁻¹ YᵀCp (their equation 4), a known user as well as one who is folded in, so that a
    guest with the same history gets the same list and an explanation (their section 5) adds up to the score.
    The users that `implicit` leaves behind are one step older than the items and, by its conjugate gradients,
    only near the minimum: no substitute. Solving for everybody can cost as much as the whole alternation, so
    a user is solved for when first scored, and kept; the fit costs what `implicit` costs.
    """

    algorithm: ClassVar[str] = "als"
    kind: ClassVar[ModelKind] = ModelKind.COLLABORATIVE
    Parameters = ALSParameters
    parameters: ALSParameters

    effective_: EffectiveParameters
    """Given by the parameters, or chosen from the data."""
    item_factors_: npt.NDArray[np.float32]
    """float32 (items, factors); zero for an item that nobody took, which is never shown."""
    gram_: npt.NDArray[np.float64]
    """float64 (factors, factors): YᵀY + λI."""
    cold_: Rows
    """int64: rows of the items that nobody took."""
    _inverse: npt.NDArray[np.float64]
    _users: npt.NDArray[np.float32]
    _solved: npt.NDArray[np.bool_]

    def _fit(self, dataset: Dataset) -> None:
        matrix = dataset.matrix
        factors = self.parameters.factors or affordable_factors(MOST_FACTORS, matrix.shape)
        chosen = replace(self.parameters, factors=factors)
        self.effective_ = effective_parameters(matrix, chosen, is_repeated=dataset.is_repeated)
        if (engine := current_engine()) is not None:
            self._take(_alternated(matrix, chosen, self.effective_, engine))
            self._solve_none()
            return
        # a BLAS pool under implicit's own threads makes it several times slower; with one BLAS thread, and
        # each row solved by one thread, the result does not depend on how the work was shared out
        with one_blas_thread():
            solver = AlternatingLeastSquares(
                factors=chosen.factors,
                alpha=self.effective_.alpha,
                regularization=self.effective_.regularization,
                iterations=chosen.iterations,
                random_state=chosen.seed,
            )
            solver.fit(matrix, show_progress=False)
            self._take(solver.item_factors)
        self._solve_none()

    @property
    def chosen_parameters(self) -> dict[str, float]:
        """The length of the vectors, alpha and lambda, where they were not given."""
        found = asdict(self.effective_) | {"factors": self.item_factors_.shape[1]}
        return {name: value for name, value in found.items() if not getattr(self.parameters, name)}

    def _solve_none(self) -> None:
        self._users = np.empty((len(self.users_), self.item_factors_.shape[1]), dtype=np.float32)
        self._solved = np.zeros(len(self.users_), dtype=bool)

    @property
    def user_factors_(self) -> npt.NDArray[np.float32]:
        """float32 (users, factors); zero for a user without a liked product, who gets an empty list."""
        # per user the matrices are too small to share out, so the users are
        bounds = np.linspace(0, len(self.users_), 4 * WORKERS + 1).astype(int)
        in_parallel(lambda part: self._known(np.arange(*part)), list(pairwise(bounds)))
        return self._users

    def _known(self, rows: Rows) -> npt.NDArray[np.float32]:
        """The exact vectors of known users, float32 (n, factors), solved for where they were not yet."""
        new = rows[~self._solved[rows]]
        if new.size:
            history = self.history_[new]
            history.eliminate_zeros()
            self._users[new] = self._fold_in(history)
            # only now: another thread that finds the mark must find the vector, too
            self._solved[new] = True
        return self._users[rows]

    def _take(self, item_factors: npt.NDArray[np.float32]) -> None:
        self.item_factors_ = item_factors
        factors = item_factors.astype(np.float64)
        self.gram_ = factors.T @ factors + self.effective_.regularization * np.eye(factors.shape[1])
        self.cold_ = np.flatnonzero(~item_factors.any(axis=1))
        self._inverse = np.linalg.inv(self.gram_).astype(np.float64)

    def _system(
        self, items: npt.NDArray[np.integer], weights: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """YᵀCY + λI (factors, factors), the vectors of `items` (n, factors), their confidences; float64."""
        vectors = self.item_factors_[items]
        confidence = self.effective_.alpha * weights.astype(np.float64)
        system, gain = self.gram_.copy(), confidence - 1.0
        for sign in (1.0, -1.0):
            part = np.flatnonzero(sign * gain > 0)
            # numpy computes AᵀA at half the cost of AᵀB, and in single precision at half of that: what is
            # lost lies far below the λ that it is added to
            scaled = vectors[part] * np.sqrt(sign * gain[part]).astype(np.float32)[:, None]
            system += sign * (scaled.T @ scaled)
        return system, vectors.astype(np.float64), confidence

    def _fold_in(self, history: sparse.csr_matrix) -> npt.NDArray[np.float32]:
        """The exact vector of each row's user, float32 (n, factors); zero where the row is empty."""
        found = np.zeros((history.shape[0], self.item_factors_.shape[1]), dtype=np.float32)
        lengths = np.diff(history.indptr)
        for row in np.flatnonzero(lengths >= found.shape[1]):
            part = slice(history.indptr[row], history.indptr[row + 1])
            system, vectors, confidence = self._system(history.indices[part], history.data[part])
            found[row] = np.linalg.solve(system, confidence @ vectors)
        short = np.flatnonzero((lengths > 0) & (lengths < found.shape[1]))
        block = np.cumsum(lengths[short]) // SHARED_ENTRIES
        for rows in np.split(short, np.flatnonzero(np.diff(block)) + 1):
            self._fold_in_short(history, rows, found)
        return found

    def _fold_in_short(self, history: sparse.csr_matrix, rows: Rows, found: npt.NDArray[np.float32]) -> None:
        """Users with fewer items than factors: a system as large as their items instead.

        With G the gram of all items plus λI, Y the user's n item vectors and D = C - I, Woodbury's identity
        says (G + YᵀDY)⁻¹Yᵀc = G⁻¹Yᵀ(I + D Y G⁻¹Yᵀ)⁻¹c; G⁻¹y of an item serves every user who has it.
        """
        mine = history[rows]
        items, place = np.unique(mine.indices, return_inverse=True)
        vectors = self.item_factors_[items].astype(np.float64)
        solved = vectors @ self._inverse
        confidence = self.effective_.alpha * mine.data.astype(np.float64)
        for row, (start, end) in zip(rows, pairwise(mine.indptr), strict=True):
            own, weight = place[start:end], confidence[start:end]
            system = (weight - 1.0)[:, None] * (vectors[own] @ solved[own].T)
            system[np.diag_indices_from(system)] += 1.0
            found[row] = np.linalg.solve(system, weight) @ solved[own]

    def _vectors(self, history: sparse.csr_matrix, rows: Rows) -> Factors:
        users = np.empty((rows.size, self.item_factors_.shape[1]), dtype=np.float32)
        folded = rows < 0
        users[~folded] = self._known(rows[~folded])
        users[folded] = self._fold_in(history[folded])
        return Factors(users, self.item_factors_, hidden=self.cold_, silent=np.diff(history.indptr) == 0)

    def _score_similar(self, items: Rows, out: Scores) -> None:
        """Cosine of the item vectors."""
        lengths = self._lengths()
        np.matmul(self.item_factors_[items] / lengths[items, None], self.item_factors_.T, out=out)
        out /= lengths
        out[:, self.cold_] = -np.inf
        out[np.isin(items, self.cold_)] = -np.inf

    def _lengths(self) -> npt.NDArray[np.float32]:
        """The lengths of the item vectors, 1 for cold items."""

        def compute() -> npt.NDArray[np.float32]:
            lengths: npt.NDArray[np.float32] = np.linalg.norm(self.item_factors_, axis=1)
            lengths[self.cold_] = 1.0
            return lengths

        return computed_once(self, "lengths", self.item_factors_, compute)

    def _contributions(
        self, history: sparse.csr_matrix, row: int, items: Rows
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        nothing = np.zeros(items.size, dtype=np.float32)
        if history.nnz == 0:
            return np.zeros((items.size, 0), dtype=np.float32), nothing
        system, vectors, confidence = self._system(history.indices, history.data)
        # one solve for the shorter side: y_iᵀ A⁻¹ c_j y_j, with A symmetric
        targets = self.item_factors_[items].astype(np.float64)
        if items.size < history.nnz:
            parts = np.linalg.solve(system, targets.T).T @ (vectors * confidence[:, None]).T
        else:
            parts = targets @ np.linalg.solve(system, (vectors * confidence[:, None]).T)
        return parts.astype(np.float32), nothing

    def _arrays(self) -> Arrays:
        return {
            "item_factors": self.item_factors_,
            "gram": self.gram_,
            "cold": self.cold_,
            "effective": np.array([self.effective_.alpha, self.effective_.regularization]),
        }

    def _restore(self, arrays: Arrays) -> None:
        self.item_factors_, self.gram_, self.cold_ = arrays["item_factors"], arrays["gram"], arrays["cold"]
        # an artifact of an earlier version has what its parameters name
        given = arrays.get("effective", np.array([self.parameters.alpha, self.parameters.regularization]))
        self.effective_ = EffectiveParameters(*given.tolist())
        self._inverse = np.linalg.inv(self.gram_).astype(np.float64)
        self._solve_none()


def _alternated(
    matrix: sparse.csr_matrix, chosen: ALSParameters, effective: EffectiveParameters, engine: ArrayEngine
) -> Scores:
    """The items' vectors, by exact least squares on an engine.

    The problem, the start and the number of iterations are those of `implicit`, which approaches each
    solution by three steps of conjugate gradients only.

    Returns
    -------
    float32, shape (items, factors)
    """
    chance = np.random.default_rng(chosen.seed)
    chance.random(
        (matrix.shape[0], chosen.factors), dtype=np.float32
    )  # of the users, who are solved for first
    items = chance.random((matrix.shape[1], chosen.factors), dtype=np.float32) * np.float32(0.01)
    by_item = sparse.csr_matrix(matrix.T)
    for _ in range(chosen.iterations):
        users = _solved(matrix, items, effective, engine)
        items = _solved(by_item, users, effective, engine)
    return items


def _solved(
    history: sparse.csr_matrix, others: Scores, effective: EffectiveParameters, engine: ArrayEngine
) -> Scores:
    """The vectors of the rows of `history`, given those of its columns."""
    wide = others.astype(np.float64)
    gram = wide.T @ wide + effective.regularization * np.eye(wide.shape[1])
    shared = {"gram": gram, "numbers": np.array([effective.alpha, effective.regularization])}
    work = np.diff(history.indptr).astype(np.float64) + 1.0
    bounds = finer_bounds(work, [0, history.shape[0]])

    def parts() -> Iterator[Arrays]:
        for start, end in pairwise(bounds):
            block, used = compact_product(history[start:end])
            yield packed("history", block) | {"others": others[used]} | shared

    return np.concatenate([found["solved"] for found in engine.map(solve_part, parts())])


def solve_part(arrays: Arrays) -> Arrays:
    """A kernel (`models.shared.engine`): the exact vectors of some rows."""
    model = ALS()
    model.effective_ = EffectiveParameters(*arrays["numbers"].tolist())
    model.item_factors_, model.gram_ = arrays["others"], arrays["gram"]
    model._inverse = np.linalg.inv(model.gram_).astype(np.float64)
    with one_blas_thread():
        return {"solved": model._fold_in(unpacked("history", arrays))}
