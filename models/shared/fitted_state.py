"""What a fitted model is made of, and how it is written to an artifact and read back."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from dataclasses import asdict, fields
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.ids import IdMap
from models.ranking.calibration import BuyingChances, Calibration, maps_as_json, maps_from_json
from models.registry.artifact import read_artifact, write_artifact
from recsys.errors import Invalid

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["FittedState", "ModelKind"]

Arrays = dict[str, npt.NDArray[Any]]


class ModelKind(StrEnum):
    """`recommendation_models.type`."""

    COLLABORATIVE = "collaborative_filtering"
    CONTENT = "content_based"
    HYBRID = "hybrid"


class FittedState(ABC):
    """The parameters of a model and what its fit learned, which an artifact holds."""

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

    @abstractmethod
    def _arrays(self) -> Arrays:
        """What `fit` learned, as named arrays, for the artifact."""

    @abstractmethod
    def _restore(self, arrays: Arrays) -> None:
        """Take back what `_arrays` gave."""

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
        """Read an artifact of this class, memory-mapped.

        Parameters
        ----------
        verify
            Whether checksums are compared.

        Raises
        ------
        NotFound
            When the folder holds no artifact.
        Invalid
            When it is damaged, of another class, or of parameters that this version does not know.
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


def _known_parameters(cls: type[DataclassInstance], given: dict[str, Any], folder: Path) -> dict[str, Any]:
    known = {field.name for field in fields(cls)}
    if unknown := sorted(given.keys() - known):
        raise Invalid(
            f"{folder} was written with parameters this version does not know: {', '.join(unknown)}"
        )
    return given
