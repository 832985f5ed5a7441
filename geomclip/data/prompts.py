"""Prompt templates: a text stands where `{}` is."""

from collections.abc import Sequence
from pathlib import Path

from geomclip.errors import RequestError

TEMPLATES = (
    "a picture of {}",
    "an emoji of {}",
    "an icon of {}",
    "a drawing of {}",
)

# The bare text beside the templates: what evaluation averages over.
EVALUATION_TEMPLATES = ("{}", *TEMPLATES)


def fill(text: str, templates: tuple[str, ...] = EVALUATION_TEMPLATES) -> list[str]:
    """The text in every template. A template without `{}` is a ValueError."""
    for template in templates:
        if "{}" not in template:
            raise ValueError(f"prompt template {template!r} has no {{}} for the text")
    return [template.replace("{}", text) for template in templates]


def read_templates(values: Sequence[str]) -> tuple[str, ...]:
    """Templates as a command line gives them: each value is one, or a file with one a line.

    `{c}`, which CLIP_benchmark writes, is `{}`.

    Raises RequestError for a line without a place, or with two, and for a file that isn't there.
    """
    found: list[str] = []
    for value in values:
        if "{}" in value or "{c}" in value:
            found.append(_template(value, "--templates"))
            continue
        try:
            lines = Path(value).read_text(encoding="utf-8-sig").splitlines()
        except (OSError, ValueError) as error:
            raise RequestError(
                f'--templates: "{value}" has no {{}} for the class, and is no file to read '
                f"({getattr(error, 'strerror', None) or error})",
                'Write --templates "a photo of a {}", or name a file with one template a line.',
            ) from None
        rows = [(n, line.strip()) for n, line in enumerate(lines, 1) if line.strip()]
        if not rows:
            raise RequestError(f"{value} has no template", "Write one a line.")
        found += [_template(line, f"{value} line {n}") for n, line in rows]
    return tuple(dict.fromkeys(found))


def _template(text: str, where: str) -> str:
    text = text.replace("{c}", "{}")
    if text.count("{}") != 1:
        raise RequestError(
            f'{where}: "{text}" has {text.count("{}")} places for the class',
            "Write {} (or {c}) once where the class name stands.",
        )
    return text
