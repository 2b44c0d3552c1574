"""The TLS files of nodes.yaml as what Python's ssl makes of them: being readable is not enough."""

import ssl
from pathlib import Path

from dpl_router.inventory.types import Tls
from dpl_router.inventory.values import BadValue


def context_of(tls: Tls) -> ssl.SSLContext:
    """Towards a node. Raises: OSError (ssl.SSLError is one) where a file is of no use."""
    context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.cert is not None:
        # a key that wants a password is refused: without this OpenSSL asks the terminal for one
        context.load_cert_chain(tls.cert, tls.key, password="")
    return context


def authority(path: Path) -> Path:
    """`path`, if it holds certificates. Raises: BadValue."""
    try:
        context_of(Tls(ca=path))
    except OSError as error:
        raise BadValue(f"{path} holds no certificate in PEM form ({reason(error)})") from None
    return path


def own(cert: Path, key: Path) -> None:
    """Raises: BadValue where these are no certificate and its key."""
    try:
        context_of(Tls(cert=cert, key=key))
    except OSError as error:
        raise BadValue(
            f"{cert} and {key} are no certificate and its key without password, in PEM form "
            f"({reason(error)})"
        ) from None


def reason(error: OSError) -> str:
    """OpenSSL's word, as KEY_VALUES_MISMATCH; the system's where it was no TLS."""
    return str(getattr(error, "reason", None) or error.strerror or error)
