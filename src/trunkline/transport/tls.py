"""TLS towards providers and proxies."""

import os
import ssl


def default_ssl_context() -> ssl.SSLContext:
    """Return a context that verifies against the system's authorities, or certifi's where the system has none."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    paths = ssl.get_default_verify_paths()
    # OpenSSL reads a folder of authorities on demand. `cert_store_stats` does not count them until then.
    folder = bool(paths.capath) and any(os.listdir(paths.capath))
    if not context.cert_store_stats()["x509_ca"] and not folder:
        import certifi  # not needed on most systems

        context.load_verify_locations(certifi.where())
    return context
