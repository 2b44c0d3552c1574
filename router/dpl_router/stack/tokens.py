"""The stack's own two keys, where a keys file is in use.

Alertmanager calls the router's webhooks and the router calls exporters as operator, Prometheus
scrapes as viewer. The clear keys lie in the data folder (mode 0600), their hashes in the keys file.
"""

import os
import secrets
from pathlib import Path

from dpl_router.errors import ConfigError
from dpl_router.security.keys import Role, load_keys
from dpl_router.security.new_key import new_key
from dpl_router.stack.programs import Say
from dpl_router.stack.render import Tokens


def ready_tokens(keys_file: Path, data_dir: Path, say: Say) -> Tokens:
    """Made where they are missing or no longer listed. Raises: ConfigError."""
    if not keys_file.is_file():
        raise ConfigError(
            f"--keys-file {keys_file} does not exist; make it: "
            f"dpl key new NAME --role user --keys-file {keys_file}"
        )
    return Tokens(
        operator=ready_token(keys_file, data_dir / "router.token", Role.OPERATOR, say),
        viewer=ready_token(keys_file, data_dir / "prometheus.token", Role.VIEWER, say),
    )


def ready_token(keys_file: Path, token: Path, role: Role, say: Say) -> Path:
    ring = load_keys(keys_file)
    if token.is_file():
        identity = ring.identify(token.read_text(encoding="utf-8").strip())
        if identity is not None and identity.role >= role:
            return token
    name = f"dpl-up-{role.word}-{secrets.token_hex(3)}"
    write_secret(token, new_key(keys_file, name, role))
    say(f"{keys_file} has a new key {name!r} for the stack itself")
    return token


def write_secret(file: Path, text: str) -> None:
    """Never readable by others, not even for a moment."""
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
        opened.write(text + "\n")
