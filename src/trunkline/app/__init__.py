"""The parts of a gateway, wired together."""

from trunkline.app.build import App, Parts, SystemClock, build, open_transport, serve

__all__ = ["App", "Parts", "SystemClock", "build", "open_transport", "serve"]
