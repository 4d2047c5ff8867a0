"""Scores of boosted trees for many rows at a time: every comparison of a tree for a block of rows at once.

After QuickScorer (Lucchese et al. 2015, "QuickScorer: a fast algorithm to rank documents with additive
ensembles of regression trees", SIGIR) and its vector form (Lucchese et al. 2016, SIGIR): each inner node has
a mask without the leaves of its left side; a row's leaf is the lowest bit that is left when the masks of all
nodes that send the row to the right are combined. A walk from the root reads a node's children only when the
node is known; here all rows of a block are compared with a node in the same instructions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models.shared.compiled import compiled

__all__ = ["LARGEST_TREE", "CompiledTrees"]

LARGEST_TREE = 31
"""Leaves that the mask of a row has bits for."""

_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_SHIFT, _MISSING_NONE, _MISSING_NAN = 2, 0, 2
"""Bits of LightGBM's `decision_type`: how a node compares, and what it takes for unknown."""
_HASH = 0x077CB531
"""The de Bruijn sequence whose product with a power of two has that power's place in its first five bits."""


@dataclass(frozen=True, eq=False)
class CompiledTrees:
    """The trees of one model, in the form that the compiled loop reads.

    Node arrays hold the inner nodes of all trees, one tree after the other.

    Attributes
    ----------
    first_node : int64, shape (trees + 1,)
        Where the nodes of each tree begin.
    feature : int32, shape (nodes,)
    threshold : float32, shape (nodes,)
        A row goes to the left where its value is at most this.
    unknown_left : bool, shape (nodes,)
        Whether NaN goes to the left.
    mask : int32, shape (nodes,)
        Without the bits of the leaves of the left side.
    first_leaf : int64, shape (trees,)
        Where the leaf values of each tree begin.
    value : float64, shape (leaves,)
        Of all leaves, numbered from left to right within a tree.
    """

    first_node: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int32]
    threshold: npt.NDArray[np.float32]
    unknown_left: npt.NDArray[np.bool_]
    mask: npt.NDArray[np.int32]
    first_leaf: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]

    @classmethod
    def of(cls, text: str) -> Self:
        """From the text of a LightGBM model. Raises ValueError for trees that it cannot hold."""
        trees = [_fields(part) for part in text.split("\nTree=")[1:]]
        nodes: list[list[Any]] = [[], [], [], []]
        values: list[float] = []
        first_node, first_leaf = [0], []
        for tree in trees:
            first_leaf.append(len(values))
            _append(tree, nodes, values)
            first_node.append(len(nodes[0]))
        feature, threshold, unknown_left, mask = nodes
        return cls(
            np.array(first_node, dtype=np.int64),
            np.array(feature, dtype=np.int32),
            _at_most(np.array(threshold, dtype=np.float64)),
            np.array(unknown_left, dtype=bool),
            np.array(mask, dtype=np.int32),
            np.array(first_leaf, dtype=np.int64),
            np.array(values, dtype=np.float64),
        )

    def score(self, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """float64 (c,): the sum over the trees, in their order, of the leaf of each row; features (c, f)."""
        out = np.zeros(features.shape[0], dtype=np.float64)
        _sum_leaves(
            np.ascontiguousarray(features, dtype=np.float32),
            self.first_node,
            self.feature,
            self.threshold,
            self.unknown_left,
            self.mask,
            self.first_leaf,
            self.value,
            _LOWEST_BIT,
            out,
        )
        return out


def _fields(tree: str) -> dict[str, list[str]]:
    pairs = (line.split("=", 1) for line in tree.splitlines() if "=" in line)
    return {name: text.split() for name, text in pairs}


def _append(tree: dict[str, list[str]], nodes: list[list[Any]], values: list[float]) -> None:
    """Append the nodes and leaf values of one tree, leaves from left to right."""
    leaf_values = [float(value) for value in tree["leaf_value"]]
    if len(leaf_values) > LARGEST_TREE:
        raise ValueError(f"a tree has {len(leaf_values)} leaves; at most {LARGEST_TREE} can be scored")
    if len(leaf_values) == 1:
        values.append(leaf_values[0])
        return
    left, right = ([int(child) for child in tree[f"{side}_child"]] for side in ("left", "right"))
    order: list[int] = []
    span: dict[int, tuple[int, int]] = {}

    def walk(node: int) -> int:
        """Number the leaves below; a child below 0 is leaf -child - 1. Returns how many there are so far."""
        if node < 0:
            order.append(-node - 1)
            return len(order)
        first, middle = len(order), walk(left[node])
        span[node] = first, middle
        return walk(right[node])

    walk(0)
    for node in range(len(left)):
        kind, bound = int(tree["decision_type"][node]), float(tree["threshold"][node])
        missing = kind >> _MISSING_SHIFT
        if kind & _CATEGORICAL or missing not in (_MISSING_NONE, _MISSING_NAN):
            raise ValueError("a tree compares categories, or takes zeros for unknown")
        first, middle = span[node]
        # a node that met nothing unknown in the training takes it for 0
        unknown_left = bool(kind & _DEFAULT_LEFT) if missing == _MISSING_NAN else bound >= 0
        nodes[0].append(int(tree["split_feature"][node]))
        nodes[1].append(bound)
        nodes[2].append(unknown_left)
        nodes[3].append(~(((1 << middle) - 1) & ~((1 << first) - 1)))
    values += [leaf_values[leaf] for leaf in order]


def _at_most(bounds: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    """The largest float32 up to each bound: a float32 is at most the bound where it is at most that."""
    nearest = bounds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest.astype(np.float64) > bounds, below, nearest).astype(np.float32)


_LOWEST_BIT = np.zeros(32, dtype=np.int64)
_LOWEST_BIT[[(_HASH << place & 0xFFFFFFFF) >> 27 for place in range(32)]] = np.arange(32)


@compiled
def _sum_leaves(
    features: npt.NDArray[np.float32],
    first_node: npt.NDArray[np.int64],
    feature: npt.NDArray[np.int32],
    threshold: npt.NDArray[np.float32],
    unknown_left: npt.NDArray[np.bool_],
    mask: npt.NDArray[np.int32],
    first_leaf: npt.NDArray[np.int64],
    value: npt.NDArray[np.float64],
    lowest_bit: npt.NDArray[np.int64],
    out: npt.NDArray[np.float64],
) -> None:
    rows, width = features.shape
    block = 256
    column = np.empty((width, block), dtype=np.float32)
    open_ = np.empty(block, dtype=np.int32)
    for start in range(0, rows, block):
        size = min(block, rows - start)
        for row in range(size):
            for at in range(width):
                column[at, row] = features[start + row, at]
        for tree in range(first_leaf.size):
            open_[:] = -1
            for node in range(first_node[tree], first_node[tree + 1]):
                line, bound, kept = column[feature[node]], threshold[node], mask[node]
                if unknown_left[node]:
                    for row in range(block):
                        open_[row] &= kept if line[row] > bound else np.int32(-1)
                else:
                    for row in range(block):
                        open_[row] &= np.int32(-1) if line[row] <= bound else kept
            leaves = first_leaf[tree]
            for row in range(size):
                bits = np.uint32(open_[row])
                lowest = bits & (~bits + np.uint32(1))
                hashed = np.uint32(lowest * np.uint32(0x077CB531)) >> np.uint32(27)
                out[start + row] += value[leaves + lowest_bit[hashed]]
