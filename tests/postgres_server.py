"""A PostgreSQL server of the tests' own: its cluster lies in a folder and is gone with it."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from psycopg import sql

UNPRIVILEGED = ("postgres", "nobody")
"""Whom the server runs as where the tests run as root, which it refuses."""


def find_binaries() -> Path | None:
    """The folder with the server's programs, where Debian and others put them; None where there is no server."""
    places = [Path(found).resolve().parent for name in ("initdb", "postgres") if (found := shutil.which(name))]
    if shutil.which("pg_config"):
        asked = subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True)
        places.append(Path(asked.stdout.strip()))
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    needed = ("initdb", "postgres", "pg_ctl")
    return next((place for place in places if all((place / name).exists() for name in needed)), None)


class Postgres:
    """A running server on loopback with one superuser `lab`, who needs no password."""

    def __init__(self, port: int) -> None:
        self._port = port

    def database(self, name: str) -> str:
        """The URL of a new database."""
        where = f"postgresql://lab@127.0.0.1:{self._port}/"
        with psycopg.connect(f"{where}postgres", autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return where + name


@contextmanager
def postgres(binaries: Path, folder: Path) -> Iterator[Postgres]:
    """Make a cluster in an empty folder, run it, stop it."""
    user = next(name for name in UNPRIVILEGED if _exists(name)) if os.getuid() == 0 else None
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    arguments = ["-D", str(data), "-U", "lab", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    subprocess.run([binaries / "initdb", *arguments], check=True, user=user, cwd="/", stdout=subprocess.DEVNULL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
    }
    options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
    control = [binaries / "pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log.txt")]
    subprocess.run([*control, "-o", options, "start"], check=True, user=user, cwd="/", stdout=subprocess.DEVNULL)
    try:
        yield Postgres(port)
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], user=user, cwd="/", stdout=subprocess.DEVNULL)


def _exists(user: str) -> bool:
    return user in {entry.pw_name for entry in pwd.getpwall()}
