"""Templates filled in: one file with its own style and script, and a policy that allows no more."""

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

from .colours import VARIABLES
from .typography import clean, grouped, short, typeset

HEATS = 20  # steps of the unit map's colour


def fill(page: str, styles: Sequence[str], **values: Any) -> str:
    """The template `page` with these style sheets, one behind the other. Everything that comes from
    outside (names of classes, networks) is escaped.

    The page's policy allows one style sheet and one script, by their digests, and no request at
    all.
    """
    import jinja2
    from markupsafe import Markup

    folder = resources.files("residuum.pages") / "templates"
    environment = jinja2.Environment(
        autoescape=lambda name: name is None or name.endswith(".html"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: clean(value) if type(value) is str else value,
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text()),
    )
    environment.filters |= {"t": typeset, "grouped": grouped, "short": short}
    sheets = (environment.get_template(name) for name in styles)
    style = "".join(s.render(variables=list(VARIABLES.values()), heats=HEATS) for s in sheets)
    script = (folder / "report.js").read_text()
    return environment.get_template(page).render(
        **values,
        heats=HEATS,
        **{"style": Markup(style), "style_hash": _digest(style)},
        **{"script": Markup(script), "script_hash": _digest(script)},
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
