"""Certificates for tests: an authority of one's own, and what it says of names."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Certificate:
    key: ec.EllipticCurvePrivateKey
    signed: x509.Certificate

    def pem(self) -> bytes:
        return self.signed.public_bytes(serialization.Encoding.PEM)

    def server(self, folder: Path) -> ssl.SSLContext:
        """What a server shows that has this certificate, by a file in the folder."""
        plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        file = folder / "server.pem"
        file.write_bytes(self.key.private_bytes(serialization.Encoding.PEM, *plain) + self.pem())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


def issue(name: str, *, by: Certificate | None = None, days: int = 1) -> Certificate:
    """One for the name, by this authority or by itself, up to so many days from now."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signing = by.key if by else key
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by.signed.subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=by is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        .sign(signing, hashes.SHA256())
    )
    return Certificate(key, signed)
