"""Compiled loops: functions over arrays that numba turns into machine code at their first call."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, update_wrapper
from threading import Lock
from typing import Any, Generic, ParamSpec, TypeVar, cast

__all__ = ["compiled"]

P = ParamSpec("P")
R = TypeVar("R")

_lock = Lock()


class compiled(Generic[P, R]):
    """Decorator of a function that uses numbers and arrays only; other threads run while it runs.

    Numba (Lam, Pitrou & Seibert 2015, "Numba: a LLVM-based Python JIT compiler") is imported at the first
    call, which takes half a second; the machine code is kept on disk for the next process, beside the module
    or, where that cannot be written, in the user's cache folder. Sums keep the order in which they are
    written, so that results do not depend on the processor.
    """

    def __init__(self, function: Callable[P, R]) -> None:
        self.function = function
        update_wrapper(self, function)

    @cached_property
    def _machine_code(self) -> Callable[P, R]:
        from numba import njit

        with _lock:
            try:
                found: Any = njit(self.function, nogil=True, cache=True)
            except RuntimeError:  # no folder to keep the machine code in
                found = njit(self.function, nogil=True)
        return found  # type: ignore[no-any-return]

    @property
    def _numba_type_(self) -> Any:
        """How numba sees a compiled function that another one calls."""
        return cast(Any, self._machine_code)._numba_type_

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """The result of the function."""
        return self._machine_code(*args, **kwargs)
