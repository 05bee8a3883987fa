"""Words of the dialect that requests and answers share."""

NAME = "messages"
SERVER_CALLS = frozenset({"server_tool_use", "mcp_tool_use"})
"""Blocks of tools that the provider runs."""
