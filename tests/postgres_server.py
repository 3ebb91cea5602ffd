"""A PostgreSQL server of the tests' own: its cluster lies in a folder and is gone with it."""

from __future__ import annotations

import os
import pwd
import random
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


ATTEMPTS = 10
"""Ports that are tried: another process may take one between our look and the server's start."""


def free_port() -> int:
    """One that nobody listens on, below those that systems give to outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(15_000, 30_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port


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
    settings = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
    }
    log = folder / "log.txt"
    control = [binaries / "pg_ctl", "-D", str(data), "-w", "-t", "600", "-l", str(log)]
    for _ in range(ATTEMPTS):
        port = free_port()
        options = " ".join(f"-c {name}='{value}'" for name, value in {**settings, "port": port}.items())
        started = subprocess.run([*control, "-o", options, "start"], user=user, cwd="/", stdout=subprocess.DEVNULL)
        if started.returncode == 0:
            break
        assert "Address already in use" in log.read_text(), log.read_text()
    else:
        raise AssertionError(log.read_text())
    try:
        yield Postgres(port)
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], user=user, cwd="/", stdout=subprocess.DEVNULL)


def _exists(user: str) -> bool:
    return user in {entry.pw_name for entry in pwd.getpwall()}
