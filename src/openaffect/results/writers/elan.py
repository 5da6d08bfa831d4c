"""ELAN annotation format (.eaf, version 3.0): one tier per kind of finding."""

from __future__ import annotations

import mimetypes
from datetime import UTC, datetime
from xml.etree import ElementTree

from openaffect.results.analysis import Analysis
from openaffect.results.writers.base import RenderOptions
from openaffect.results.writers.clip_link import clip_link
from openaffect.results.writers.plain_text import one_line
from openaffect.results.writers.spans import tiers

FORMAT = "3.0"
SCHEMA_LOCATION = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
TIER_TYPE = "perceived"
UNKNOWN_MEDIA = "application/octet-stream"


class ElanWriter:
    """An ELAN document that opens with its clip when the two keep their places."""

    name = "eaf"
    suffix = ".eaf"

    def render(self, analysis: Analysis, options: RenderOptions) -> str:
        """The whole XML document; times are milliseconds from the start of the file."""
        ElementTree.register_namespace("xsi", INSTANCE)
        root = ElementTree.Element(
            "ANNOTATION_DOCUMENT",
            {
                "AUTHOR": one_line(f"openaffect {analysis.model.version}"),
                "DATE": datetime.now(UTC).isoformat(timespec="seconds"),
                "FORMAT": FORMAT,
                "VERSION": FORMAT,
                f"{{{INSTANCE}}}noNamespaceSchemaLocation": SCHEMA_LOCATION,
            },
        )
        self._header(root, analysis, options)
        order = ElementTree.SubElement(root, "TIME_ORDER")
        number = 0
        for name, spans in tiers(analysis).items():
            tier = ElementTree.SubElement(
                root, "TIER", {"LINGUISTIC_TYPE_REF": TIER_TYPE, "TIER_ID": name}
            )
            for span in spans:
                number += 1
                slots = {f"ts{2 * number - 1}": span.start, f"ts{2 * number}": span.end}
                for slot, seconds in slots.items():
                    value = str(round(seconds * 1000))
                    times = {"TIME_SLOT_ID": slot, "TIME_VALUE": value}
                    ElementTree.SubElement(order, "TIME_SLOT", times)
                first, last = slots
                annotation = ElementTree.SubElement(tier, "ANNOTATION")
                aligned = ElementTree.SubElement(
                    annotation,
                    "ALIGNABLE_ANNOTATION",
                    {
                        "ANNOTATION_ID": f"a{number}",
                        "TIME_SLOT_REF1": first,
                        "TIME_SLOT_REF2": last,
                    },
                )
                ElementTree.SubElement(aligned, "ANNOTATION_VALUE").text = span.text
        kind = {"GRAPHIC_REFERENCES": "false", "LINGUISTIC_TYPE_ID": TIER_TYPE}
        ElementTree.SubElement(root, "LINGUISTIC_TYPE", {**kind, "TIME_ALIGNABLE": "true"})
        ElementTree.indent(root)
        body = ElementTree.tostring(root, encoding="unicode")
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'

    def _header(
        self, root: ElementTree.Element, analysis: Analysis, options: RenderOptions
    ) -> None:
        """The clip it belongs to, and the notice."""
        header = ElementTree.SubElement(
            root, "HEADER", {"MEDIA_FILE": "", "TIME_UNITS": "milliseconds"}
        )
        link = clip_link(analysis, options.folder)
        mime = mimetypes.guess_type(analysis.clip.path)[0] or UNKNOWN_MEDIA
        media = {"MEDIA_URL": link, "RELATIVE_MEDIA_URL": link, "MIME_TYPE": mime}
        ElementTree.SubElement(header, "MEDIA_DESCRIPTOR", media)
        notice = ElementTree.SubElement(header, "PROPERTY", {"NAME": "notice"})
        notice.text = one_line(analysis.notice)
