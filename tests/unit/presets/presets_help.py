"""Presets as bodies of each dialect make them, and what they say in requests of the others."""

from typing import Any

Json = dict[str, Any]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION: Json = {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}
SAID: dict[str, tuple[str, Json, Json, dict[str, Json]]] = {
    # name: dialect, body, config, {dialect: what is said in it}
    "sampling": (
        "chat",
        {"model": "a/b", "temperature": 0.5, "seed": 7, "max_tokens": 9, "stop": "end"},
        {"model": "a/b", "temperature": 0.5, "seed": 7, "max_tokens": 9, "stop": "end"},
        {
            "messages": {"model": "a/b", "temperature": 0.5, "max_tokens": 9, "stop_sequences": ["end"]},
            "responses": {"model": "a/b", "temperature": 0.5, "max_output_tokens": 9, "stop": "end"},
        },
    ),
    "the newer limit counts": (
        "chat",
        {"max_tokens": 9, "max_completion_tokens": 8},
        {"max_tokens": 9, "max_completion_tokens": 8},
        {"messages": {"max_tokens": 8}, "responses": {"max_output_tokens": 8}},
    ),
    "messages' names": (
        "messages",
        {"model": "a/b", "max_tokens": 5, "stop_sequences": ["x"], "fallbacks": [{"model": "c/d"}], "top_k": 3},
        {"model": "a/b", "max_tokens": 5, "stop": ["x"], "models": ["c/d"], "top_k": 3},
        {
            "messages": {"model": "a/b", "max_tokens": 5, "stop_sequences": ["x"], "models": ["c/d"], "top_k": 3},
            "responses": {"model": "a/b", "max_output_tokens": 5, "stop": ["x"], "models": ["c/d"], "top_k": 3},
        },
    ),
    "responses' names": (
        "responses",
        {"max_output_tokens": 5, "text": {"verbosity": "low"}, "truncation": "auto"},
        {"max_completion_tokens": 5, "verbosity": "low", "truncation": "auto"},
        {
            "chat": {"max_completion_tokens": 5, "verbosity": "low"},
            "messages": {"max_tokens": 5, "output_config": {"effort": "low"}},
            "responses": {"max_output_tokens": 5, "text": {"verbosity": "low"}, "truncation": "auto"},
        },
    ),
    "chat's schema": (
        "chat",
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}}},
        {
            "messages": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
            "responses": {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}}},
        },
    ),
    "messages' schema": (
        "messages",
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}, "effort": "high"}},
        {
            "output_config": {"effort": "high"},
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "response", "strict": True, "schema": SCHEMA},
            },
        },
        {
            "chat": {
                "reasoning": {"effort": "high"},
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "response", "strict": True, "schema": SCHEMA},
                },
            },
            "messages": {"output_config": {"effort": "high", "format": {"type": "json_schema", "schema": SCHEMA}}},
        },
    ),
    "responses' schema": (
        "responses",
        {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}},
        {"responses": {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}}},
    ),
    "effort": (
        "chat",
        {"reasoning_effort": "minimal"},
        {"reasoning_effort": "minimal"},
        {
            "messages": {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}},
            "responses": {"reasoning": {"effort": "minimal"}},
        },
    ),
    "budget": (
        "messages",
        {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        {
            "chat": {"reasoning": {"max_tokens": 2048}},
            "messages": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            "responses": {"reasoning": {"max_tokens": 2048}},
        },
    ),
    "no thoughts": (
        "responses",
        {"reasoning": {"effort": "none"}},
        {"reasoning": {"effort": "none"}},
        {"chat": {"reasoning": {"effort": "none"}}, "messages": {"thinking": {"type": "disabled"}}},
    ),
    "thoughts as they like": (
        "messages",
        {"thinking": {"type": "adaptive"}},
        {"thinking": {"type": "adaptive"}},
        {"chat": {"reasoning": {"enabled": True}}, "messages": {"thinking": {"type": "adaptive"}}},
    ),
    "a function of chat": (
        "chat",
        {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {"tools": [FUNCTION], "tool_choice": {"type": "function", "function": {"name": "f"}}},
        {
            "messages": {
                "tools": [{"name": "f", "description": "d", "input_schema": SCHEMA}],
                "tool_choice": {"type": "tool", "name": "f"},
            },
            "responses": {
                "tools": [{"type": "function", "strict": False, "name": "f", "description": "d", "parameters": SCHEMA}],
                "tool_choice": {"type": "function", "name": "f"},
            },
        },
    ),
    "a flat function": (
        "chat",
        {"tools": [{"type": "function", "name": "f", "parameters": SCHEMA}]},
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": None}}]},
        {"messages": {"tools": [{"name": "f", "input_schema": SCHEMA}]}},
    ),
    "a function of messages": (
        "messages",
        {
            "tools": [{"name": "f", "input_schema": SCHEMA, "cache_control": {"type": "ephemeral"}}],
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
        },
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "f", "parameters": SCHEMA},
                    "cache_control": {"type": "ephemeral"},
                }
            ],
            "tool_choice": "required",
            "parallel_tool_calls": False,
        },
        {
            "messages": {
                "tools": [{"name": "f", "input_schema": SCHEMA, "cache_control": {"type": "ephemeral"}}],
                "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
            }
        },
    ),
    "a function of responses": (
        "responses",
        {"tools": [{"type": "function", "name": "f", "parameters": SCHEMA}], "tool_choice": "none"},
        {
            "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": None}}],
            "tool_choice": "none",
        },
        {
            "chat": {
                "tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}}],
                "tool_choice": "none",
            },
            "responses": {"tools": [{"type": "function", "name": "f", "parameters": SCHEMA}], "tool_choice": "none"},
        },
    ),
    "free-form input": (
        "responses",
        {
            "tools": [
                {"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}
            ],
            "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "p"}]},
        },
        {
            "tools": [
                {
                    "type": "custom",
                    "custom": {
                        "name": "p",
                        "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}},
                    },
                }
            ],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "custom", "custom": {"name": "p"}}]},
            },
        },
        {
            "responses": {
                "tools": [
                    {"type": "custom", "name": "p", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}
                ],
                "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "p"}]},
            }
        },
    ),
    "server tools go everywhere": (
        "chat",
        {"tools": [{"type": "openrouter:web_search", "parameters": {"max_results": 3}}]},
        {"tools": [{"type": "openrouter:web_search", "parameters": {"max_results": 3}}]},
        {
            "messages": {"tools": [{"type": "openrouter:web_search", "parameters": {"max_results": 3}}]},
            "responses": {"tools": [{"type": "openrouter:web_search", "parameters": {"max_results": 3}}]},
        },
    ),
    "what no dialect knows goes with all": (
        "messages",
        {"safe_prompt": True, "provider": {"only": ["x"]}, "plugins": [{"id": "web"}]},
        {"safe_prompt": True, "provider": {"only": ["x"]}, "plugins": [{"id": "web"}]},
        {
            "chat": {"safe_prompt": True, "provider": {"only": ["x"]}, "plugins": [{"id": "web"}]},
            "responses": {"safe_prompt": True, "provider": {"only": ["x"]}, "plugins": [{"id": "web"}]},
        },
    ),
    "the cache is ours": (
        "chat",
        {"cache_enabled": False, "cache_ttl_seconds": 60},
        {"cache_enabled": False, "cache_ttl_seconds": 60},
        {"chat": {}, "messages": {}, "responses": {}},
    ),
    "tiers": (
        "chat",
        {"service_tier": "default"},
        {"service_tier": "default"},
        {"messages": {"service_tier": "standard_only"}, "responses": {"service_tier": "default"}},
    ),
    "null says nothing": ("chat", {"temperature": None, "tools": None}, {}, {"chat": {}}),
}

LOST: dict[str, tuple[str, Json, str, list[str]]] = {
    "sampling": ("chat", {"seed": 1, "logit_bias": {"1": 2}}, "messages", ["logit_bias", "seed"]),
    "stops": ("messages", {"stop_sequences": list("abcde")}, "chat", ["stop[4]"]),
    "json": ("chat", {"response_format": {"type": "json_object"}}, "messages", ["response_format"]),
    "plain text is what everybody writes": ("chat", {"response_format": {"type": "text"}}, "messages", []),
    "effort beside a budget": (
        "messages",
        {"thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": {"effort": "low", "x": 1}},
        "responses",
        ["output_config.effort", "output_config.x"],
    ),
    "summary": ("responses", {"reasoning": {"effort": "low", "summary": "auto"}}, "messages", ["reasoning.summary"]),
    "context": ("messages", {"context_management": {"edits": []}}, "chat", ["context_management"]),
    "choice": ("chat", {"tool_choice": {"type": "openrouter:web_search"}}, "messages", ["tool_choice"]),
    "keys of tools": (
        "messages",
        {"tools": [{"name": "f", "input_schema": {}, "defer_loading": True}]},
        "chat",
        ["tools[0].defer_loading"],
    ),
    "grammar": (
        "chat",
        {"tools": [{"type": "custom", "custom": {"name": "p", "format": {"type": "grammar", "grammar": {}}}}]},
        "messages",
        ["tools[0].custom.format"],
    ),
}
