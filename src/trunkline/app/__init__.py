"""The gateway as a program: `build` opens its parts, `serve` runs it, `reload` and `background` act while it runs."""
