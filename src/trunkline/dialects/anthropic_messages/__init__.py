"""Anthropic Messages: clients and providers."""
