"""`recsys train report`: where the report of a model is."""

from __future__ import annotations

import typer

from recsys.errors import NotFound
from training.commands.printing import Name, registered

__all__ = ["app"]

app = typer.Typer()


@app.command()
def report(name: Name) -> None:
    """Print the path of the report of the run that made this model.

    Example: xdg-open "$(recsys train report als-v3)"
    """
    from recsys.settings import get_settings

    model = registered(name)
    kept = model.parameters.get("report")
    path = get_settings().var / str(kept)
    if not kept or not path.is_file():
        raise NotFound(f"the report of {name} is no longer at {path}; train again to write a new one")
    typer.echo(path)
