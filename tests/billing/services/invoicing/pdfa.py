"""What ISO 19005-3 (PDF/A-3, level B) asks for, as far as papers like ours can break it: by the standard's clauses.

Those of images, forms, annotations, actions and layers are held by there being none.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from lxml import etree
from pypdf import PdfReader
from pypdf.generic import ArrayObject, ContentStream, DictionaryObject, NameObject, NumberObject, StreamObject
from pypdf.generic import ByteStringObject as Bytes
from pypdf.generic import TextStringObject as Text

FILTERS = {"/FlateDecode", "/ASCII85Decode", "/ASCIIHexDecode", "/RunLengthDecode", "/DCTDecode", "/CCITTFaxDecode"}
INTERACTIVE = {"/AcroForm", "/OpenAction", "/AA", "/OCProperties", "/Requirements", "/NeedsRendering", "/Perms"}
PREDEFINED = {
    "http://purl.org/dc/elements/1.1/": {"title", "creator", "description", "language", "date", "format"},
    "http://ns.adobe.com/xap/1.0/": {"CreatorTool", "CreateDate", "ModifyDate", "MetadataDate"},
    "http://ns.adobe.com/pdf/1.3/": {"Keywords", "PDFVersion", "Producer"},
    "http://www.aiim.org/pdfa/ns/id/": {"part", "conformance"},
    "http://www.aiim.org/pdfa/ns/extension/": {"schemas"},
}
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"


def broken(pdf: bytes) -> list[str]:
    """The clauses that the PDF breaks, each once."""
    reader = PdfReader(BytesIO(pdf))
    found = [*_file(pdf, reader), *_objects(pdf, reader), *_colours(reader), *_pages(reader), *_metadata(reader)]
    return sorted({*found, *_embedded(reader)})


def _all(reader: PdfReader) -> list[Any]:
    """Every object of the file, with what is in it."""

    def within(value: Any) -> Iterator[Any]:
        yield value
        inside = value.values() if isinstance(value, DictionaryObject) else value
        if isinstance(value, DictionaryObject | ArrayObject):
            for each in inside:
                yield from within(each)

    size = int(reader.trailer["/Size"])
    known = {*(number for numbers in reader.xref.values() for number in numbers), *reader.xref_objStm}
    return [each for number in sorted(known) if number < size for each in within(reader.get_object(number))]


def _file(pdf: bytes, reader: PdfReader) -> Iterator[str]:
    if not re.match(rb"%PDF-1\.[0-7]\r?\n%[\x80-\xff]{4}", pdf):
        yield "6.1.2 header"
    if len(reader.trailer.get("/ID", [])) != 2 or "/Encrypt" in reader.trailer:
        yield "6.1.3 trailer"
    if not re.search(rb"%%EOF(\r\n|\n|\r)?$", pdf):
        yield "6.1.3 data after the end"
    if re.search(rb"\bxref(?!\r?\n\d+ \d+)", pdf.replace(b"startxref", b"")):
        yield "6.1.4 cross references"


def _objects(pdf: bytes, reader: PdfReader) -> Iterator[str]:
    for number, offset in reader.xref.get(0, {}).items():
        if not re.match(rb"%d 0 obj\r?\n" % number, pdf[offset:]) or pdf[offset - 1 : offset] not in {b"\n", b"\r"}:
            yield "6.1.9 objects"
    for head in re.finditer(rb"/Length (\d+)[^R].{,400}?>>\s*stream(\r\n|\n)", pdf, re.DOTALL):
        if not re.match(rb"\r?\n?endstream", pdf[head.end() + int(head[1]) :]):
            yield "6.1.7.1 length of a stream"
    for each in _all(reader):
        if isinstance(each, StreamObject):
            used = each.get("/Filter", ArrayObject())
            if not {*(used if isinstance(used, ArrayObject) else [used])} <= FILTERS:
                yield "6.1.7.2 filters"
            if {"/F", "/FFilter", "/FDecodeParms"} & each.keys():
                yield "6.1.7.1 a stream that is elsewhere"
        elif (
            (isinstance(each, NameObject) and len(each) > 128)
            or (isinstance(each, Text | Bytes) and len(each) > 32767)
            or (isinstance(each, NumberObject) and abs(each) >= 2**31)
        ):
            yield "6.1.13 limits"


def _colours(reader: PdfReader) -> Iterator[str]:
    intents = [each.get_object() for each in reader.root_object.get("/OutputIntents", [])]
    profiles = [each["/DestOutputProfile"].get_data() for each in intents if each.get("/S") == "/GTS_PDFA1"]
    # A screen's or a printer's profile, of red, green and blue, not newer than version 4.
    if len(profiles) != 1 or profiles[0][12:20] not in {b"mntrRGB ", b"prtrRGB "} or profiles[0][8] > 4:
        yield "6.2.3 output intent"
    if any(each in {"/DeviceCMYK", "/Separation", "/DeviceN"} for each in _all(reader) if isinstance(each, NameObject)):
        yield "6.2.4 colours"


def _pages(reader: PdfReader) -> Iterator[str]:
    if INTERACTIVE & reader.root_object.keys() or {"/JavaScript", "/AlternatePresentations"} & {
        *reader.root_object.get("/Names", {})
    }:
        yield "6.4 to 6.11 what is interactive"
    for page in reader.pages:
        if "/Annots" in page or "/AA" in page:
            yield "6.3 annotations"
        if not all(3 <= side <= 14400 for side in (page.mediabox.width, page.mediabox.height)):
            yield "6.1.13 page box"
        resources = page.get("/Resources")
        if resources is None:
            yield "6.2.2 resources"
            continue
        if "/XObject" in resources or "/ExtGState" in resources or "/Pattern" in resources:
            yield "6.2.5 to 6.2.10 images and states"
        fonts = {name: font.get_object() for name, font in resources.get("/Font", {}).items()}
        yield from _fonts(fonts)
        shown = {
            operands[0] for operands, name in ContentStream(page.get_contents(), reader).operations if name == b"Tf"
        }
        if not shown <= fonts.keys():
            yield "6.2.2 a font that is not there"


def _fonts(fonts: dict[str, Any]) -> Iterator[str]:
    for font in fonts.values():
        inner = font["/DescendantFonts"][0].get_object() if font["/Subtype"] == "/Type0" else font
        descriptor = inner.get("/FontDescriptor", {})
        if not {"/FontFile", "/FontFile2", "/FontFile3"} & descriptor.keys():
            yield "6.2.11.4 a font that is not embedded"
        if inner["/Subtype"] == "/CIDFontType2" and "/CIDToGIDMap" not in inner:
            yield "6.2.11.3 composite fonts"


def _metadata(reader: PdfReader) -> Iterator[str]:
    stream = reader.root_object.get("/Metadata")
    if stream is None:
        yield "6.6.2.1 metadata"
        return
    data = stream.get_object().get_data()
    if re.search(rb"<\?xpacket[^>]*(bytes|encoding)=", data):
        yield "6.6.2.1 metadata"
    tree = etree.fromstring(data)
    defined = {space: set(names) for space, names in PREDEFINED.items()}
    for schema in tree.iterfind(".//{*}schemas//{*}namespaceURI/.."):
        names = {name.text for name in schema.iterfind(".//{http://www.aiim.org/pdfa/ns/property#}name")}
        defined.setdefault(schema.findtext("{*}namespaceURI"), set()).update(names)
    said = {}
    for each in tree.iterfind(f".//{RDF}RDF/{RDF}Description/*"):
        name = etree.QName(each)
        said[name.localname] = each.text
        if name.localname not in defined.get(name.namespace, set()):
            yield f"6.6.2.3 {name.localname} is no known property"
    if (said.get("part"), said.get("conformance")) != ("3", "B"):
        yield "6.6.4 which part of the standard"


def _embedded(reader: PdfReader) -> Iterator[str]:
    root = reader.root_object
    named = root.get("/Names", {}).get("/EmbeddedFiles", {}).get("/Names", [])
    for file in named[1::2]:
        spec = file.get_object()
        content = spec["/EF"]["/F"].get_object()
        if content.get("/Subtype") != "/text/xml" or "/ModDate" not in content.get("/Params", {}):
            yield "6.8 what kind of file"
        if not {"/F", "/UF"} <= spec.keys() or spec.get("/AFRelationship") != "/Alternative":
            yield "6.8 how the file is related"
        if file not in root.get("/AF", []):
            yield "6.8 a file that nothing is associated with"
