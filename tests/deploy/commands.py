"""Whether a command line that a file of deploy/ names is one of ours."""

from __future__ import annotations

from typing import Any

import typer
from typer.main import get_command

from recsys.cli import app

__all__ = ["check_command"]


def check_command(arguments: list[str]) -> None:
    """Fail unless `recsys ARGUMENTS` is a command with these options."""
    command: Any = get_command(app)
    context = typer.Context(command, info_name="recsys")
    rest = list(arguments)
    while hasattr(command, "resolve_command"):
        _, command, rest = command.resolve_command(context, rest)
        context = typer.Context(command, parent=context)
    command.make_context("recsys", rest, parent=context.parent, resilient_parsing=False)
