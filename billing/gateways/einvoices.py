"""Factur-X: a PDF that carries its own data (EN 16931), where the extra ``einvoice`` (factur-x) is installed."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

MISSING = "E-invoices need the package factur-x (the extra einvoice): pip install 'factur-x>=7.8'."


def installed() -> bool:
    """Whether data can be put into PDF here."""
    return find_spec("facturx") is not None


def xml(terms: Mapping[str, Any]) -> bytes:
    """The data of ``engine.einvoices.terms`` as XML, which holds to the schema: what does not is refused."""
    import facturx

    made: bytes = facturx.generate_xml(
        dict(terms), flavor="factur-x", level="en16931", check_xsd=True, check_schematron=None
    )
    return made


def embed(pdf: bytes, data: bytes) -> bytes:
    """The PDF, which must be PDF/A-3, with the XML in it: another form of the same, to be read without the rest."""
    import facturx

    made: bytes = facturx.generate_from_binary(
        pdf,
        data,
        flavor="factur-x",
        level="en16931",
        check_xsd=False,
        check_schematron=False,
        afrelationship="alternative",
        xmp_compression=False,
    )
    return made
