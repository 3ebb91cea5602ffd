"""The parameter table of the docs: `python -m ptycho_mlf.config.reference > docs/parameters.md`."""

from __future__ import annotations

from .cli import HEADINGS
from .describe import default_text, range_text, type_text
from .knob import trait, used_if
from .run import SECTIONS

_HEAD = """\
# Parameters

Written by `python -m ptycho_mlf.config.reference > docs/parameters.md`; a test holds it against the declarations.

Pass any of them as `-P name=value` to `mlflow run`, or as `--name value` to `python -m entrypoints.stage_a`.
A value out of range, an unknown name, and a non-default value of a parameter that nothing consumes are errors:
one line, exit code 2.
"""


def reference_text() -> str:
    """The whole page: one table a section."""
    parts = [_HEAD]
    for section, model in SECTIONS.items():
        parts += [f"\n## {HEADINGS[section]}\n", "| name | type | default | unit | range | used if | meaning |"]
        parts.append("|---|---|---|---|---|---|---|")
        for name, field in model.model_fields.items():
            condition = used_if(field)
            kind = type_text(field.rebuild_annotation()).replace("|", " \\| ")
            default = default_text(field.default)
            cells = (
                f"`{name}`",
                kind,
                f"`{default}`" if default else "empty",
                trait(field, "unit"),
                range_text(field),
                condition.text.replace("|", " \\| ") if condition else "",
                field.description or "",
            )
            parts.append("| " + " | ".join(cells) + " |")
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    print(reference_text(), end="")
