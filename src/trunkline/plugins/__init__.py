"""Stages of the gateway: what callers ask for by name in `plugins`, and what operators install."""
