"""What tools say, as an MCP client reads it."""

import json
from typing import Any

from mcp import types


def result(said: Any) -> types.CallToolResult:
    """A tool's reply: its text and pictures, and its values as structured content where it has any."""
    blocks = (
        said if _are_blocks(said) else [{"type": "text", "text": said if isinstance(said, str) else json.dumps(said)}]
    )
    structured = None if isinstance(said, str) or _are_blocks(said) else {"result": said}
    return types.CallToolResult(content=[_block(one) for one in blocks], structuredContent=structured)


def failure(why: str) -> types.CallToolResult:
    """A call that failed, in words that a model may read."""
    return types.CallToolResult(content=[types.TextContent(type="text", text=why)], isError=True)


def _are_blocks(said: Any) -> bool:
    return isinstance(said, list) and bool(said) and all(isinstance(one, dict) and "type" in one for one in said)


def _block(block: dict[str, Any]) -> types.ContentBlock:
    if block["type"] == "image":
        return types.ImageContent(type="image", data=block["base64"], mimeType=block["mime_type"])
    return types.TextContent(type="text", text=block["text"])
