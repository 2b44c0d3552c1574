"""Certificates for a server of ours on loopback."""

import subprocess
from pathlib import Path

from tests.exporter.process import PATIENCE

SELF_SIGNED = (
    *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
    *("-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
)


def self_signed(folder: Path) -> tuple[Path, Path]:
    """(certificate, key), another pair each time."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [*SELF_SIGNED, "-keyout", str(key), "-out", str(cert)],
        check=True,
        capture_output=True,
        timeout=PATIENCE,
    )
    return cert, key
