"""The process of `recsys serve mcp`: stdio for one agent, or streamable HTTP for many."""

from __future__ import annotations

from recsys.errors import Invalid
from recsys.web.access.authorization import is_loopback

__all__ = ["run"]


def run(url: str, key: str | None, *, host: str | None = None, port: int = 8765) -> None:
    """Serve until the input ends (stdio) or the process is stopped (HTTP).

    Parameters
    ----------
    url
        The address of the API.
    key
        The key of the agent, for stdio; over HTTP each request carries its own.
    host
        The address to listen on; None for stdio.
    port
        The port of HTTP.

    Raises
    ------
    Invalid
        The package mcp is not installed, or url or key can be none.
    """
    try:
        from serving.agents.tools import AgentTools, build_server
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("mcp", "httpx"):
            raise
        raise Invalid("The package mcp is not installed; install it: pip install 'recsys[mcp]'") from error
    if host is not None and key is not None:
        raise Invalid("Over HTTP each request carries its own key: leave out RECSYS_API_KEY and --key-file.")
    try:
        tools = AgentTools(url, key, key_required=host is not None and not is_loopback(host))
    except ValueError as error:
        raise Invalid(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    server = build_server(tools)
    if host is None:
        server.run("stdio")
    else:
        server.run("streamable-http", host=host, port=port, stateless_http=True)
