"""Matplotlib's SVG made fit for a page: colours follow the page by classes, nothing stands in a
style attribute (the page's policy forbids it), every point has a title, and half the bytes go."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from ..results import Figure
from .colours import VARIABLES
from .typography import typeset

SVG, HREF = "http://www.w3.org/2000/svg", "{http://www.w3.org/1999/xlink}href"
REFERENCE = re.compile(r"(?:url\(#|^#)([^)]+)")


def inline(svg: bytes, figure: Figure, name: str, words: Mapping[str, str]) -> str:
    """The figure's SVG for a page, which gives the size. Ids begin with `name`; `words` are the
    `title` and the `finding` that describe it."""
    ET.register_namespace("", SVG)
    root = ET.fromstring(svg)
    for child in (*root.findall(f"{{{SVG}}}metadata"), *root.findall(f"{{{SVG}}}defs")):
        if child.tag.endswith("metadata") or child.find(f"{{{SVG}}}style") is not None:
            root.remove(child)
    _points(root, figure)
    used = _short_ids(root, name)
    for element in root.iter():
        _plain_style(element)
        _tidy(element, used)
    side = {"class": name.rpartition("-")[2]}
    drawn = side | {
        "stroke-linejoin": "round",
        "role": "figure",
        "aria-label": typeset(words["title"]),
    }
    root.attrib = {"viewBox": root.attrib["viewBox"]} | drawn
    description = ET.Element(f"{{{SVG}}}desc")
    description.text = typeset(words["finding"])
    root.insert(0, description)
    return ET.tostring(root, encoding="unicode")


def _points(root: ET.Element, figure: Figure) -> None:
    """The invisible markers as circles with titles: what a pointer, a finger or a key reads."""
    groups = {group.get("id"): group for group in root.iter(f"{{{SVG}}}g")}
    for number, series in enumerate(figure.series):
        if (group := groups.get(f"hover-{number}")) is None:
            continue
        markers = [(use.get("x", ""), use.get("y", "")) for use in group.iter(f"{{{SVG}}}use")]
        for child in list(group):
            group.remove(child)
        group.attrib = {"class": "points"}
        pairs = zip(series.x, series.y, series.labels, strict=False)
        labels = (label for x, y, label in pairs if x is not None and y is not None)
        for (x, y), label in zip(markers, labels, strict=False):
            circle = ET.SubElement(group, f"{{{SVG}}}circle", cx=x, cy=y, r="5", role="img")
            ET.SubElement(circle, f"{{{SVG}}}title").text = typeset(label)


def _short_ids(root: ET.Element, name: str) -> dict[str, str]:
    """Short names for the ids that something refers to."""
    values = (value for element in root.iter() for value in element.attrib.values())
    found = dict.fromkeys(ref for value in values for ref in REFERENCE.findall(value))
    return {old: f"{name}-{i}" for i, old in enumerate(found)}


def _plain_style(element: ET.Element) -> None:
    """The style attribute as classes (colours) and attributes (all else)."""
    style = element.attrib.pop("style", "")
    classes = element.get("class", "").split()
    for declaration in style.split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font":  # in one word: its size is all that counts here
            key, value = "font-size", re.search(r"[\d.]+px", value)[0]  # type: ignore[index]
        if key in ("fill", "stroke") and value in VARIABLES:
            classes.append(f"{key[0]}-{VARIABLES[value]}")
        elif key and key != "font-family":
            element.set(key, value)
    if classes:
        element.set("class", " ".join(classes))


def _tidy(element: ET.Element, used: Mapping[str, str]) -> None:
    if HREF in element.attrib:
        element.set("href", element.attrib.pop(HREF))
    for key, value in list(element.attrib.items()):
        if key == "id":
            if value in used:
                element.set("id", used[value])
            else:
                del element.attrib["id"]
        elif ref := REFERENCE.search(value):
            element.set(key, value.replace(ref[1], used[ref[1]]))
        elif key in ("d", "x", "y", "cx", "cy", "transform"):
            value = re.sub(r"\d+\.\d+", lambda m: f"{float(m[0]):.1f}".removesuffix(".0"), value)
            element.set(key, " ".join(value.split()))
    if element.tag not in (f"{{{SVG}}}text", f"{{{SVG}}}tspan", f"{{{SVG}}}title"):
        element.text = None if not (element.text or "").strip() else element.text
    element.tail = None if not (element.tail or "").strip() else element.tail
