"""Certificates that tests make for themselves."""

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

from support import require


class Certificate(NamedTuple):
    """A certificate of 127.0.0.1, which is its own authority."""

    chain: Path
    key: Path

    @property
    def trusted(self) -> ssl.SSLContext:
        """Return the options of a client that trusts this certificate and no other."""
        return ssl.create_default_context(cafile=str(self.chain))


def make_certificate(directory: Path) -> Certificate:
    """Make a certificate; skips the test where there is no openssl."""
    openssl = shutil.which("openssl")
    require("openssl", available=openssl is not None, reason="no openssl on PATH")
    made = Certificate(directory / "chain.pem", directory / "key.pem")
    subprocess.run(
        [
            *(str(openssl), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=charter", "-keyout", str(made.key)),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-out", str(made.chain)),
        ],
        check=True,
        capture_output=True,
    )
    return made
