"""What is remembered about the embedded servers between commands, and the lock that keeps commands apart.

`var/run/embedded.json` (0600) holds ports, passwords and process ids; `var/run/embedded.lock` is held
while a command starts or stops servers. Both survive a command that is killed half-way.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

from recsys.errors import Unavailable

__all__ = ["EmbeddedState", "Record", "exclusive", "hand_over", "load"]

_NO_PLACE = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR, errno.EEXIST)


@dataclass
class Record:
    """One server: where it listens, what opens it and which process it is."""

    port: int
    password: str
    throwaway: bool = False
    pid: int | None = None
    created: float | None = None
    """When the operating system says that the process was made (seconds), to notice a reused pid."""
    version: str | None = None
    started_at: str | None = None

    def __post_init__(self) -> None:
        expected = {"port": int, "password": str, "throwaway": bool}
        for name, kind in expected.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(f"{name} should be {kind.__name__}")
        if not 0 < self.port < 65536 or not self.password:
            raise ValueError("port or password out of range")


@dataclass
class EmbeddedState:
    """The records of one `var/`, by the server's name."""

    var: Path
    records: dict[str, Record] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """The state file."""
        return self.var / "run" / "embedded.json"

    def save(self) -> None:
        """Write the file whole or not at all, readable by its owner only."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        text = json.dumps({name: asdict(record) for name, record in self.records.items()}, indent=1)
        fresh.unlink(missing_ok=True)
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        hand_over(fresh, self.var)
        fresh.replace(self.path)


def load(var: Path) -> tuple[EmbeddedState, str | None]:
    """The state of this `var/`, and what was wrong with the file if it could not be understood.

    Raises
    ------
    Unavailable
        The file belongs to somebody else.
    """
    state = EmbeddedState(var)
    try:
        raw = json.loads(state.path.read_text(encoding="utf-8"))
        state.records = {name: _record(fields_) for name, fields_ in raw.items()}
    except (FileNotFoundError, NotADirectoryError):
        return state, None
    except PermissionError as error:
        raise Unavailable(
            f"{state.path} may not be read by this user ({_me()}); the servers under {var} were started by "
            "another one. Run the command as that user, or choose another folder with RECSYS_VAR"
        ) from error
    except (ValueError, TypeError, AttributeError, UnicodeDecodeError) as error:
        state.records = {}
        return state, f"{state.path} is damaged ({error})"
    return state, None


def _record(raw: Any) -> Record:
    known = {each.name for each in fields(Record)}
    return Record(**{name: value for name, value in raw.items() if name in known})


def hand_over(path: Path, like: Path) -> None:
    """As root, give a file to the owner of `like`, so that its ordinary user can go on without root."""
    if sys.platform != "win32" and os.geteuid() == 0:
        owner = like.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


@contextmanager
def exclusive(var: Path, patience: float = 180.0) -> Iterator[None]:
    """Hold the lock of this `var/`; a second command waits up to `patience` seconds for the first."""
    folder = var / "run"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "embedded.lock"
        made = not path.exists()
        with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="utf-8") as file:
            if made:
                hand_over(path, var)
            deadline = time.monotonic() + patience
            while not _try_lock(file):
                if time.monotonic() > deadline:
                    raise Unavailable(
                        f"another command has been starting or stopping the servers under {var} for "
                        f"{patience:.0f} s; wait for it, or end it and run this command again"
                    )
                time.sleep(0.05)
            yield
    except PermissionError as error:
        raise Unavailable(
            f"this user ({_me()}) may not write to {error.filename or folder}; run the command as the owner "
            f"of {var}, or choose another folder with RECSYS_VAR"
        ) from error
    except OSError as error:
        if error.errno not in _NO_PLACE:
            raise
        raise Unavailable(
            f"{error.filename or folder} cannot be written ({error.strerror}); make room or mount it for "
            "writing, or choose another folder with RECSYS_VAR"
        ) from error


def _try_lock(file: IO[str]) -> bool:
    """The operating system drops the lock with the file, so a killed command leaves none behind."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _me() -> str:
    if sys.platform == "win32":
        return os.environ.get("USERNAME", "?")
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"
