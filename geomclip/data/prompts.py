"""Prompt templates: a text stands where `{}` is."""

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
