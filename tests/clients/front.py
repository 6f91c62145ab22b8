"""TLS before the gateway, for clients that send a token over nothing else (botocore, auth.py)."""

import shutil
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.clock import RealClock
from tests.clients.places import NODE_FOLDER
from tests.real.processes import Program

_HOST = "127.0.0.1"
_VALID = timedelta(days=1)


class Front:
    """At work from the constructor on. `certificate` is a file that says whom to trust."""

    def __init__(self, folder: Path, port: int) -> None:
        folder.mkdir()
        node = shutil.which("node")
        assert node is not None, "there is no node"
        key, self.certificate = folder / "key.pem", folder / "certificate.pem"
        _sign(key, self.certificate)
        self.program = Program([node, str(NODE_FOLDER / "tls.mjs"), str(key), str(self.certificate), str(port)])
        listening = self.program.says(r"^listening on (\d+)")
        self.url = f"https://{_HOST}:{listening[1]}"


def _sign(key_file: Path, certificate_file: Path) -> None:
    """A key, and a certificate that it signed itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _HOST)])
    now = datetime.fromtimestamp(RealClock.wall(), UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _VALID)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(_HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
