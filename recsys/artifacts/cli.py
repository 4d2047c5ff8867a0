"""`recsys artifacts`: what the store has, publication of what this machine has, verification, cleaning."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from recsys.artifacts.store import ArtifactStore

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="Models, snapshots and reports in the store that several hosts read."
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]


@app.command("list", epilog="Example: recsys artifacts list --json")
def list_artifacts(as_json: AsJson = False) -> None:
    """List what is published, with its size and time."""
    store = _shared()
    manifests = [store.manifest(name) for name in store.names()]
    rows: list[dict[str, Any]] = [
        {"name": each.name, "bytes": each.size, "files": len(each.files), "published_at": each.published_at}
        for each in manifests
    ]
    if as_json:
        _json({"address": store.address, "artifacts": rows})
        return
    for row in rows:
        typer.echo(f"{row['name']}: {row['bytes'] / 2**20:,.1f} MiB, published {row['published_at']}")
    typer.echo(f"{len(rows)} artifacts in {store.address}")


@app.command(epilog="Example: recsys artifacts publish, or: recsys artifacts publish models/als-v3 --again")
def publish(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Such as models/als-v3; none: all of this machine that the store lacks."),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Write it again, also where the store has it, to mend damage.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Publish what lies on this machine, such as after RECSYS_ARTIFACTS__ADDRESS was set."""
    store = _shared()
    chosen = names or store.unpublished()
    # the record of the current snapshot comes after the snapshot
    for name in sorted(chosen, key=lambda name: name == "datasets/current.json"):
        store.publish(name, again=again)
        if not as_json:
            typer.echo(f"published {name}")
    if as_json:
        _json({"address": store.address, "published": chosen})
    elif not chosen:
        typer.echo(f"{store.address} has all that is on this machine")


@app.command(epilog="Example: recsys artifacts verify models/als-v3 --json")
def verify(
    names: Annotated[list[str] | None, typer.Argument(help="Such as models/als-v3; none: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read what is published and compare it with its checksums; ends with 1 when something is damaged."""
    from recsys.errors import Invalid, NotFound

    store = _shared()
    chosen, faults = names or store.names(), {}
    for name in chosen:
        try:
            store.verify(name)
        except (Invalid, NotFound) as error:
            faults[name] = error.message
            if not as_json:
                typer.echo(f"{name}: {error.message}")
    if as_json:
        _json({"address": store.address, "verified": chosen, "faults": faults})
    elif not faults:
        typer.echo(f"{len(chosen)} artifacts in {store.address} are whole")
    raise typer.Exit(1 if faults else 0)


@app.command(epilog="Example: recsys artifacts clean --json")
def clean(as_json: AsJson = False) -> None:
    """Remove what interrupted publications left in the store, and outdated copies of this machine."""
    store = _shared()
    unfinished, outdated, evicted = store.remove_unfinished(), store.sweep(), store.make_room()
    if as_json:
        _json({"address": store.address, "unfinished": unfinished, "outdated": outdated, "evicted": evicted})
        return
    typer.echo(
        f"removed {len(unfinished)} interrupted publications from {store.address}, and "
        f"{len(outdated) + len(evicted)} copies from this machine"
    )


def _shared() -> ArtifactStore:
    from recsys.artifacts.store import artifact_store
    from recsys.errors import Invalid

    store = artifact_store()
    if not store.is_shared:
        raise Invalid(
            "RECSYS_ARTIFACTS__ADDRESS is not set, so var of this machine is the store; set an address "
            "such as s3://bucket/prefix where several hosts serve"
        )
    return store


def _json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, indent=1) + "\n")
