"""Numbers as people write them: 1.7 × 10⁻² for 1.7e-02, a minus for a hyphen, no broken units."""

import re

SUPERSCRIPTS = str.maketrans("0123456789-+", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺")
FIXED, THIN, JOINED = "\u00a0", "\u202f", "\u2060"  # no line breaks at any
UNITS = "%|×|points?|epochs?|images?|units?|classes|draws|paths|subsets|orders|seeds|deleted"
FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
RULES = (
    (r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]?\d+)\b", lambda m: scientific(m[1], int(m[2]))),
    (r"(?<=[\dnR)])\^(-?\d+)\b", lambda m: superscript(m[1])),
    (r"(?<=\d)x(?=\d)", "×"),  # shapes
    (r"(?<![\w)\].–-])-(?=\d)", "−"),
    (r"(?<=\d)-(?!\d\d-\d\d)(?<!-\d\d-)(?=\d)", f"–{JOINED}"),  # ranges, not dates
    (rf"(?<=\d) (?=(?:{UNITS})\b|%)", FIXED),
    (r"(?<=\d,) (?=[\d.−]+\])", FIXED),  # intervals
    (r"\b([a-zA-Z]) = (?=[\d−])", rf"\1{FIXED}={FIXED}"),
    (r"\b([Ff]igures?|[Uu]nit|[Ss]eed|[Ll]ength|[Dd]epth|[Ss]ec\.|eq\.) (?=[\d−])", rf"\1{FIXED}"),
)


def typeset(text: object) -> str:
    """The text with its numbers set: for prose and labels, not for names and digests."""
    found = clean(text)
    for pattern, replacement in RULES:
        found = re.sub(pattern, replacement, found)
    return found


def clean(text: object) -> str:
    """The text with a sign in place of what XML and UTF-8 forbid: names come from outside."""
    return FORBIDDEN.sub("\ufffd", str(text))


def superscript(digits: str) -> str:
    return digits.translate(SUPERSCRIPTS)


def scientific(mantissa: str, exponent: int) -> str:
    return f"{mantissa}{FIXED}×{FIXED}10{superscript(str(exponent))}"


def grouped(value: int) -> str:
    """Digits in groups of three."""
    return f"{value:,}".replace(",", THIN)


def short(value: float | int | None) -> str:
    """Four significant digits; nothing for None."""
    return "" if value is None else typeset(f"{value:.4g}")
