"""OpenAI Chat Completions, as OpenRouter extends it. Sources: wire-chat and wire-common, read 2026-11-21."""
