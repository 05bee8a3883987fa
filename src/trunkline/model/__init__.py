"""The gateway's vocabulary. Every dialect is decoded into these types and encoded from them."""
