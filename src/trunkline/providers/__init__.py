"""Providers: address, authentication, data policy and quirks. Data where possible."""
