"""The command line. Exit codes: 0 done, 1 it failed, 2 the command or the configuration is wrong.

What a command needs is imported when it runs: `trunkline --help` must not wait for a server to be imported.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from typing import TYPE_CHECKING

from trunkline import __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from decimal import Decimal
    from pathlib import Path

    from trunkline.catalog.catalog import Catalog
    from trunkline.model.endpoint import Endpoint
    from trunkline.model.key import Key
    from trunkline.model.money import Pico
    from trunkline.settings import Settings
    from trunkline.storage.database import Database
    from trunkline.storage.keys import KeyRing

CONFIG = """\
The configuration is FILE, or trunkline.yaml in the current folder if it is there. Without one, providers are found from
the environment (OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, OPENROUTER_API_KEY, GROQ_API_KEY, ...) and from an
Ollama on this machine; the model demo/echo is always there. docs/reference/configuration.md names every setting."""


class _Clock:
    """The port `Clock`, without the server that `trunkline.app` brings."""

    def now(self) -> float:
        """Unix seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that only grow."""
        return time.monotonic()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    options = _parser().parse_args(arguments)
    from trunkline.settings import ConfigError  # see the head of this module

    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except ConfigError as error:
        print(f"trunkline: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `trunkline models | head`: nobody reads the rest, and the interpreter must not try to write it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trunkline",
        description="A self-hosted exchange for language models: one address, any provider behind it.",
        epilog=CONFIG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"trunkline {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add = commands.add_parser

    serve = _command(add, "serve", "start the gateway", _serve)
    serve.add_argument("--host", metavar="H", help="address to listen on, over server.host (default 127.0.0.1)")
    serve.add_argument("--port", metavar="P", type=int, help="port to listen on, over server.port (default 8484)")
    serve.add_argument("--workers", metavar="N", type=int, help="processes, over server.workers (default 1)")
    serve.add_argument(
        "--allow-empty", action="store_true", help="let a reload apply an empty file, or one without keys"
    )

    _command(add, "check", "read the configuration and say what it comes to, or what is wrong with it", _check)
    _command(add, "models", "list models, endpoints and prices; asks the providers that are to be asked", _models)

    backup = _command(
        add, "backup", "write the database and the journal into a file, also while a gateway runs", _backup
    )
    backup.add_argument("file", metavar="FILE", help="the file to make; one that exists is kept")
    restore = _command(add, "restore", "replace the database by a backup; no gateway may run", _restore)
    restore.add_argument("file", metavar="FILE", help="a file that `backup` made")
    restore.add_argument("--force", action="store_true", help="replace a database that is not empty")

    keys = add("keys", help="make, list and revoke the keys that clients use", epilog=CONFIG)
    keys.formatter_class = argparse.RawDescriptionHelpFormatter
    verbs = keys.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_verb = verbs.add_parser
    create = _command(add_verb, "create", "make a key and print it, this once", _create)
    create.add_argument("--name", metavar="N", required=True, help="what the key is called in records and lists")
    create.add_argument("--limit", metavar="USD", type=_usd, help="what it may ever spend, in USD (default no limit)")
    _command(add_verb, "list", "list keys with their limits and spending", _list)
    revoke = _command(add_verb, "revoke", "make a key useless; what it did stays in the records", _revoke)
    revoke.add_argument("key", metavar="NAME_OR_HASH", help="its name, its hash, or its label as `list` shows it")
    return parser


def _command(
    add: Callable[..., argparse.ArgumentParser],
    name: str,
    does: str,
    run: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    """A command with --config, which they all have."""
    parser = add(
        name,
        help=does,
        description=f"{does[0].upper()}{does[1:]}.",
        epilog=CONFIG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", help="the configuration (default trunkline.yaml, if it is there)")
    parser.set_defaults(run=run)
    return parser


def _usd(text: str) -> Decimal:
    from decimal import Decimal, InvalidOperation

    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not (amount.is_finite() and 0 <= amount <= 1_000_000 and amount == amount.quantize(Decimal("1e-12"))):
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount in USD, such as 10 or 2.50")
    return amount


def _path(options: argparse.Namespace) -> Path | None:
    from pathlib import Path

    return None if options.config is None else Path(options.config)


def _load(options: argparse.Namespace) -> Settings:
    from trunkline.settings import load

    return load(_path(options), os.environ)


def _serve(options: argparse.Namespace) -> int:
    from msgspec.structs import replace

    from trunkline.settings import with_server

    settings = with_server(_load(options), host=options.host, port=options.port, workers=options.workers)
    settings = replace(settings, allow_empty=options.allow_empty)
    from trunkline.app.serve import serve

    return serve(settings)


def _check(options: argparse.Namespace) -> int:
    from trunkline.settings import with_server

    settings = with_server(_load(options))
    catalog = settings.catalog(now=time.time())
    print(f"configuration: {settings.file or 'none; providers are found from the environment'}")
    print(f"listens on: {settings.server.host}:{settings.server.port}, {_many(settings.server.workers, 'worker')}")
    print("providers:")
    for provider in catalog.providers.values():
        count = sum(endpoint.provider == provider.slug for model in catalog.models for endpoint in model.endpoints)
        asked = ", asked for its models at start" if provider.discover and not provider.known_models else ""
        credentials = _many(len(provider.credentials), "credential")
        print(f"  {provider.slug}: {provider.base_url}, {credentials}, {_many(count, 'endpoint')}{asked}")
    for candidate in settings.candidates:
        print(f"  {candidate.slug}: {candidate.base_url}, if it answers at start")
    endpoints = [endpoint for model in catalog.models for endpoint in model.endpoints]
    print(f"models: {len(catalog.models)}, with {_many(len(endpoints), 'endpoint')}")
    sources: dict[str, int] = {}
    for endpoint in endpoints:
        sources[endpoint.price.source] = sources.get(endpoint.price.source, 0) + 1
    print(f"prices: {', '.join(f'{count} from {source}' for source, count in sources.items())}")
    print(f"keys declared: {len(settings.keys)}; a key is {'' if settings.auth.required else 'not '}required")
    return 0


def _many(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"


def _models(options: argparse.Namespace) -> int:
    import asyncio
    import logging

    logging.basicConfig(format="trunkline: %(message)s", level=logging.WARNING)
    _table(
        ("MODEL", "ENDPOINT", "UPSTREAM MODEL", "CONTEXT", "PROMPT", "COMPLETION", "PRICE FROM"),
        [_row(endpoint) for model in asyncio.run(_ask(_load(options))).models for endpoint in model.endpoints],
    )
    print("Prices are in USD per million tokens; ? is not known.")
    return 0


def _row(endpoint: Endpoint) -> tuple[str, ...]:
    price = endpoint.price
    return (
        endpoint.model,
        endpoint.tag,
        endpoint.upstream_model,
        str(endpoint.context_length or "?"),
        _per_million(price.prompt),
        _per_million(price.completion),
        price.source,
    )


def _per_million(pico: Pico | None) -> str:
    from trunkline.model.money import to_usd

    return "?" if pico is None else format((to_usd(pico) * 1_000_000).normalize(), "f")


async def _ask(settings: Settings) -> Catalog:
    """The catalog, with what providers say of their models now."""
    from trunkline.app.build import open_transport
    from trunkline.catalog.model_list_fetch import discover_local_servers, fetch_with, refresh_model_lists
    from trunkline.providers.authentication import Authenticator

    async with open_transport() as transport:
        fetch, authority = fetch_with(transport), Authenticator(_Clock(), transport)
        found = await discover_local_servers(settings.candidates, fetch, authority)
        lists = await refresh_model_lists(settings.providers.values(), fetch, authority, found)
    return settings.catalog(lists, now=time.time())


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print columns as wide as they need to be."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _create(options: argparse.Namespace) -> int:
    from trunkline.model.money import from_usd

    limit = None if options.limit is None else from_usd(options.limit)

    async def create(ring: KeyRing, _: Database) -> None:
        key, secret = await ring.create(options.name, limit)
        print(f"name:   {key.name}\nhash:   {key.id}\nlimit:  {_limit(key.limit)}\nkey:    {secret}")
        print("Keep the key now: it is stored nowhere and shown never again.", file=sys.stderr)

    return _with_keys(options, create)


def _list(options: argparse.Namespace) -> int:
    async def show(ring: KeyRing, database: Database) -> None:
        from trunkline.storage.generations import GenerationStore

        spent = await GenerationStore(database, _Clock()).spend_by_key()
        rows = [_key_row(key, spent.get(key.id, 0)) for key in ring.list()]
        _table(("NAME", "KEY", "LIMIT", "SPENT", "STATE", "HASH"), rows)

    return _with_keys(options, show)


def _key_row(key: Key, spent: Pico) -> tuple[str, ...]:
    state = "revoked" if key.disabled else "declared" if key.declared else "active"
    return (key.name, key.label, _limit(key.limit), _dollars(spent), state, key.id)


def _limit(limit: Pico | None) -> str:
    return "none" if limit is None else _dollars(limit)


def _dollars(pico: Pico) -> str:
    """`$12.50`: two decimals, and more where it needs them."""
    from trunkline.model.money import to_usd

    whole, _, rest = format(to_usd(pico), "f").partition(".")
    return f"${whole}.{rest.rstrip('0').ljust(2, '0')}"


def _revoke(options: argparse.Namespace) -> int:
    async def revoke(ring: KeyRing, _: Database) -> None:
        key = await ring.revoke(options.key)
        print(f"revoked {key.name} ({key.label})")

    return _with_keys(options, revoke)


def _backup(options: argparse.Namespace) -> int:
    from pathlib import Path

    settings, path = _load(options), Path(options.file)

    async def backup(database: Database) -> None:
        from trunkline.storage.backup import write_backup
        from trunkline.storage.journal import journal_folder

        beside = path.with_name(f"{path.name}.part")
        try:
            # It holds who spent how much, and kept answers.
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                counts = await write_backup(database, journal_folder(settings.storage.url), file, time.time())
                file.flush()
                os.fsync(file.fileno())
            os.link(beside, path)  # fails where the file has come into being meanwhile
        finally:
            beside.unlink(missing_ok=True)
        print(f"{path}: {_rows(counts)}")

    if path.exists():
        print(f"trunkline: {path} exists already", file=sys.stderr)
        return 1
    return _with_database(settings, backup, create=False)


def _restore(options: argparse.Namespace) -> int:
    from pathlib import Path

    settings, path = _load(options), Path(options.file)

    async def restore(database: Database) -> None:
        from trunkline.storage.backup import restore_backup
        from trunkline.storage.journal import journal_folder

        with path.open("rb") as file:  # noqa: ASYNC230 - a command has nothing else to do
            folder = journal_folder(settings.storage.url)
            print(_rows(await restore_backup(database, folder, file, force=options.force)))

    if not path.is_file():
        print(f"trunkline: there is no file {path}", file=sys.stderr)
        return 1
    return _with_database(settings, restore)


def _rows(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _with_keys(options: argparse.Namespace, run: Callable[[KeyRing, Database], Awaitable[None]]) -> int:
    """Open the configured database, do *run* with its keys, and close it."""
    settings = _load(options)

    async def work(database: Database) -> None:
        from trunkline.storage.keys import KeyRing

        ring = KeyRing(database, _Clock())
        ring.declare([(key.name, key.secret, key.limit, None) for key in settings.keys])
        await ring.load()
        await run(ring, database)

    return _with_database(settings, work)


def _with_database(settings: Settings, run: Callable[[Database], Awaitable[None]], *, create: bool = True) -> int:
    """Open the configured database, do *run* with it, and close it. Whatever is wrong with it is one line.

    A SQLite file that does not exist is made, unless *create* is False.
    """
    import asyncio

    from sqlalchemy.exc import SQLAlchemyError

    from trunkline.model.errors import DatabaseUnavailable, TrunklineError
    from trunkline.storage.backup import BackupError
    from trunkline.storage.database import DatabaseUnreachable, DatabaseUnusable, open_database, reason

    async def work() -> None:
        database = await open_database(settings.storage.url, settings.storage.timeout_s, create=create)
        try:
            await run(database)
        finally:
            await database.close()

    try:
        asyncio.run(work())
    except DatabaseUnavailable as error:
        return _failed(f"{error.message}: {reason(error)}")
    except (DatabaseUnreachable, BackupError) as error:
        return _failed(str(error))
    except DatabaseUnusable as error:
        print(f"trunkline: {error}", file=sys.stderr)
        return 2
    except TrunklineError as error:
        return _failed(error.message)
    except SQLAlchemyError as error:
        return _failed(f"the database failed: {reason(error)}")
    except OSError as error:
        return _failed(f"{error.filename or 'a file'}: {error.strerror or type(error).__name__}")
    return 0


def _failed(why: str) -> int:
    print(f"trunkline: {why}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
