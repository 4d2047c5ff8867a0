"""The tools that agents call: search, lists, explanations and previews of rules, each by the HTTP API.

A tool calls the API by `recsys.client` with the key of the agent, so that keys, scopes, rate limits and
business rules hold as for any other program. Over stdio the key is that of the process, over HTTP that of
each request.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

from recsys.client import AsyncRecsysClient, ClientError, RecommendedList, RetryPolicy

__all__ = ["AgentTools", "build_server"]

Id = int | str
User = Annotated[Id, Field(description="A user: the number, or the shop's own username as a text.")]
Product = Annotated[Id, Field(description="A product: the number, or the shop's SKU as a text.")]
Limit = Annotated[int, Field(ge=1, le=50, description="How many products.")]
NewToUser = Annotated[bool, Field(description="Only products without interactions of the user.")]
_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
_INSTRUCTIONS = """Recommendations, search and business rules of one shop. All tools only read.
Products and users are named by their number, or by the shop's own id as a text (SKU, username)."""
_MOST_EXPLAINED = 100


def _list(found: RecommendedList) -> dict[str, Any]:
    """Return a list as a tool answers it."""
    items = [{**item.members, "reason": item.reason, "reason_code": item.reason_code} for item in found.items]
    return {"items": items, "source": found.provenance.source, "model": found.provenance.model}


class AgentTools:
    """The tools for one address of the API.

    Parameters
    ----------
    url
        The address of the API.
    key
        The API key of the process, for stdio; None: requests carry their own.
    key_required
        Whether requests without a key are refused here: a server that others reach must not lend them the
        address that the API sees, which may need no key in development.
    """

    def __init__(self, url: str, key: str | None = None, *, key_required: bool = False) -> None:
        self.url, self.key, self.key_required = url, key, key_required
        # an address or key that can be none is an error of the start, not of the first call
        AsyncRecsysClient(url, key=key)

    @asynccontextmanager
    async def _client(self, context: Context) -> AsyncIterator[AsyncRecsysClient]:
        """Yield a client with the caller's key; what goes wrong is an error that the agent can read."""
        headers = context.headers
        key, token = (self.key, None) if headers is None else _credentials(headers)
        if headers is not None and self.key_required and key is None and token is None:
            raise ToolError("Send an API key as the header X-Api-Key; `recsys keys create` makes one.")
        try:
            async with AsyncRecsysClient(
                self.url, key=key, user_token=token, retries=RetryPolicy(attempts=2)
            ) as client:
                yield client
        except (ClientError, ValueError) as error:
            raise ToolError(str(error)) from error

    async def search_products(
        self, context: Context, query: Annotated[str, Field(min_length=1, max_length=200)], limit: Limit = 10
    ) -> dict[str, Any]:
        """Find products by words, SKUs or misspelt words; the best match first."""
        async with self._client(context) as client:
            found = await client.search(query, limit=limit)
        return {"items": list(found.items), "total": found.total, "search_id": found.search_id}

    async def recommend(
        self,
        context: Context,
        user: User | None = None,
        limit: Limit = 10,
        in_stock: bool | None = None,
        max_price: Annotated[float | None, Field(ge=0)] = None,
        new_to_user: NewToUser = False,
    ) -> dict[str, Any]:
        """Recommend products to a user, each with its score and reason; without a user, popular products."""
        novelty = "new" if new_to_user else None
        async with self._client(context) as client:
            return _list(
                await client.recommend(
                    user, limit=limit, in_stock=in_stock, max_price=max_price, novelty=novelty
                )
            )

    async def similar_products(self, context: Context, product: Product, limit: Limit = 10) -> dict[str, Any]:
        """List products that are like a product: substitutes."""
        async with self._client(context) as client:
            return _list(await client.similar(product, limit=limit))

    async def bought_together(self, context: Context, product: Product, limit: Limit = 10) -> dict[str, Any]:
        """List products that are bought together with a product: complements."""
        async with self._client(context) as client:
            return _list(await client.bought_together(product, limit=limit))

    async def explain_recommendation(self, context: Context, user: User, product: Product) -> dict[str, Any]:
        """Explain why a product is recommended to a user: position, reason, and the parts of its score."""
        async with self._client(context) as client:
            found = await client.recommend(user, limit=_MOST_EXPLAINED, explain=True)
        for position, item in enumerate(found.items, start=1):
            if product in (item.product_id, item.sku):
                return {"recommended": True, "position": position, **item.members}
        return {"recommended": False, "looked_at": len(found.items), "model": found.provenance.model}

    async def preview_rule(
        self,
        context: Context,
        rule: Annotated[dict[str, Any], Field(description="As of POST /api/v1/recommendations/rules.")],
        user: User | None = None,
        limit: Limit = 10,
    ) -> dict[str, Any]:
        """Show a list before and after a business rule, which is not stored; needs the scope `admin`."""
        request: dict[str, Any] = {"limit": limit}
        if user is not None:
            request["user_id"] = user if isinstance(user, int) else {"username": user}
        async with self._client(context) as client:
            preview: dict[str, Any] = await client.preview_rule(rule, **request)
        return preview


def _credentials(headers: Mapping[str, str]) -> tuple[str | None, str | None]:
    """Return the API key and the bearer token of a request's headers."""
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    return headers.get("x-api-key"), token.strip() or None if scheme.lower() == "bearer" else None


def build_server(tools: AgentTools) -> MCPServer:
    """Return a server of the Model Context Protocol with all tools; it is not running yet."""
    server = MCPServer(name="recsys", version="1", instructions=_INSTRUCTIONS, log_level="WARNING")
    for tool in (
        tools.search_products,
        tools.recommend,
        tools.similar_products,
        tools.bought_together,
        tools.explain_recommendation,
        tools.preview_rule,
    ):
        server.tool(annotations=_READS)(tool)
    return server
