"""A certificate authority for tests, and the certificates it and others give."""

import datetime as dt
import ssl
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey
DAY = dt.timedelta(days=1)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority:
    """Issues server certificates into a directory; `client` trusts it and nobody else."""

    def __init__(self, directory: Path, name: str = "Test authority") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        self._issued = 0
        self.certificate = self._sign(self._name, self._key.public_key(), None, -DAY, 10 * DAY)

    @property
    def client(self) -> ssl.SSLContext:
        pem = self.certificate.public_bytes(Encoding.PEM).decode()
        return ssl.create_default_context(cadata=pem)

    def server(
        self,
        *names: str,
        expired: bool = False,
        self_signed: bool = False,
        asked_for: Callable[[str | None], None] | None = None,
    ) -> ssl.SSLContext:
        """A server's context with a new certificate; `asked_for` is told each name a client asks for."""
        key = ec.generate_private_key(ec.SECP256R1())
        sans = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        ends = -DAY if expired else 10 * DAY
        signer = Authority.__new__(Authority) if self_signed else self
        if self_signed:
            signer._key, signer._name = key, _named(names[0])
        certificate = signer._sign(_named(names[0]), key.public_key(), sans, -2 * DAY, ends)
        self._issued += 1
        path = self._directory / f"{self._issued}.pem"
        path.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            + certificate.public_bytes(Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        if asked_for is not None:
            context.sni_callback = lambda _sock, name, _context: asked_for(name)
        return context

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        sans: x509.SubjectAlternativeName | None,
        begins: dt.timedelta,
        ends: dt.timedelta,
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=sans is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if sans is not None:
            builder = builder.add_extension(sans, critical=False)
        return builder.sign(self._key, hashes.SHA256())
