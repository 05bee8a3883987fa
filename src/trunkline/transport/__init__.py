"""The network client: how requests leave for providers."""
