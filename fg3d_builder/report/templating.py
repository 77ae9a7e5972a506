"""Pages from templates; every value is escaped, whatever a person has put into a name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from fg3d_builder.wording import counted

TEMPLATES = Path(__file__).parent / "templates"


def rendered(template: str, **values: Any) -> str:
    """Return a page of a template; a value that it misses is an error."""
    return _environment().get_template(template).render(style=_style(), **values)


def script_data(name: str, value: Any) -> str:
    """Return a script that gives `value` (as JSON) to the global `name`.

    Pages that are opened as files may load scripts, but no JSON.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"window.{name}={text};\n"


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = _figure
    environment.filters["counted"] = counted
    return environment


@cache
def _style() -> Markup:
    return Markup((TEMPLATES / "style.css").read_text(encoding="utf-8"))


def _figure(values: Mapping[str, float], key: str) -> str:
    return f"{values[key]:.2f}" if values else "-"
