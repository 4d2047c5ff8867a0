"""Command groups of other packages, found by entry point, imported only when a command of theirs runs."""

from __future__ import annotations

import ast
import inspect
import re
from importlib.metadata import EntryPoint
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from recsys.errors import Unavailable
from recsys.processes.installed import installed

__all__ = ["GROUP", "LazyRoot"]

GROUP = "recsys.commands"


class _UnloadedGroup(TyperGroup):
    """Stands for a group in the list of commands until it is called."""

    def __init__(self, entry: EntryPoint) -> None:
        super().__init__(name=entry.name, help=_first_sentence(entry.module))
        self.entry = entry

    def load(self) -> Any:
        """The real group. Raises Unavailable naming what is missing."""
        try:
            app = self.entry.load()
        except (ImportError, AttributeError) as error:
            raise Unavailable(
                f"the commands of 'recsys {self.entry.name}' ({self.entry.value}) cannot be loaded: {error}; "
                "install the project's requirements again"
            ) from error
        command: Any = get_group(app) if isinstance(app, typer.Typer) else app
        command.name = self.entry.name
        return command


class LazyRoot(TyperGroup):
    """The root group: its own commands, and those that plug in by the entry-point group `recsys.commands`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands, built-in ones first."""
        return [*super().list_commands(ctx), *sorted(set(_plugged()) - set(self.commands))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of this name, or None."""
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        entry = _plugged().get(cmd_name)
        return _UnloadedGroup(entry) if entry is not None else None

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Return the command that `args` begin with, imported."""
        name, command, rest = super().resolve_command(ctx, args)
        loaded = command.load() if isinstance(command, _UnloadedGroup) else command
        _join_lines(loaded)
        return name, loaded, rest


def _join_lines(command: Any) -> None:
    """Make one line of each paragraph of help: typer keeps the lines of docstrings, which end anywhere."""
    if command.help:
        paragraphs = inspect.cleandoc(command.help).split("\n\n")
        command.help = "\n\n".join(
            # behind this mark, lines are meant as they are
            each if each.startswith("\b") else each.replace("\n", " ")
            for each in paragraphs
        )
    for each in getattr(command, "commands", {}).values():
        _join_lines(each)


def _plugged() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in installed(GROUP)}


def _first_sentence(module: str) -> str:
    """The first line of a module's docstring, read from its source without running it."""
    try:
        spec = find_spec(module)
        source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
        line = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
        # "`recsys train`: run experiments" says its name twice in a list of names.
        line = re.sub(r"^`[^`]*`: +", "", line)
        return line[:1].upper() + line[1:]
    except (ImportError, OSError, SyntaxError, UnicodeDecodeError):
        return ""
