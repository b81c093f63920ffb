"""HTML and SVG elements; every text and every attribute is escaped as it is written."""

import importlib.resources
import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

Child = Element | str | None

# Characters that no HTML text may hold: controls, surrogates, and the two non-characters.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
# Nothing may be fetched, whatever a text holds: the page carries all that it needs.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def clean(text: str) -> str:
    """Return a text with every character that HTML cannot hold replaced."""
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def tag(name: str, /, *children: Child, **attributes: str | float | None) -> Element:
    """Return an element.

    Args:
      name: Of the element.
      *children: Elements, and texts to be escaped; None is left out.
      **attributes: By name; an underscore at the end falls away and others become hyphens. Numbers
        are written with two decimals at most; None leaves an attribute out.
    """
    made = Element(name)
    for key, value in attributes.items():
        if value is not None:
            shown = value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
            made.set(key.rstrip("_").replace("_", "-"), clean(shown))
    add(made, *children)
    return made


def add(parent: Element, *children: Child) -> None:
    """Append elements and texts to an element."""
    for child in children:
        if isinstance(child, Element):
            parent.append(child)
        elif child is not None and len(parent):
            parent[-1].tail = (parent[-1].tail or "") + clean(child)
        elif child is not None:
            parent.text = (parent.text or "") + clean(child)


def section(title: str, identity: str, *children: Child) -> Element:
    """Return a part of a page under its heading."""
    return tag("section", tag("h2", title), *children, id=identity)


def table(header: list[str], rows: list[list[Child]], texts: int) -> Element:
    """Return a table that scrolls by itself where the page is narrow.

    Args:
      header: Titles of the columns.
      rows: Cells.
      texts: How many of the first columns hold words; the others hold figures.
    """

    def line(kind: str, cells: list[Child]) -> Element:
        classes = [None if column < texts else "figure" for column in range(len(cells))]
        return tag("tr", *(tag(kind, c, class_=k) for c, k in zip(cells, classes, strict=True)))

    head = tag("thead", line("th", list(header)))
    body = tag("tbody", *(line("td", row) for row in rows))
    return tag("div", tag("table", head, body), class_="scroll")


def document(title: str, *parts: Child) -> str:
    """Return a whole page as text: its parts with the style and the script they need."""
    place = importlib.resources.files("greennas_jax.report.page")
    style, script = (
        (place / name).read_text(encoding="utf-8") for name in ("style.css", "script.js")
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", content=_POLICY, **{"http-equiv": "Content-Security-Policy"}),
        tag("title", title),
        tag("style", style),
    )
    tip = tag("div", id="tip", role="status", hidden="")
    body = tag("body", tag("main", *parts), tip, tag("script", script))
    whole = tag("html", head, body, lang="en")
    return "<!DOCTYPE html>\n" + ElementTree.tostring(whole, "unicode", method="html") + "\n"
