"""One page of numbers, pictures, tables and texts, to be opened without a network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaffold_runtime.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = Sequence[Any]
Table = Sequence[Row]

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; }
h2 { font-size: 1.1rem; margin: 2.5rem 0 0.5rem; }
p { margin: 0.3rem 0 1rem; opacity: 0.75; }
img { max-width: 100%; background: white; border-radius: 6px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th { text-align: left; }
td, th { padding: 0.15rem 1.5rem 0.15rem 0; border-bottom: 1px solid #8884; }
pre { font-size: 0.85rem; line-height: 1.35; overflow-x: auto; }
.numbers td { font-size: 1.3rem; }
"""


def write_report(
    folder: Path,
    title: str,
    subtitle: str,
    numbers: Mapping[str, str],
    figures: Mapping[str, tuple[str, Figure]],
    settings: Mapping[str, Any],
    tables: Mapping[str, tuple[str, Table]] | None = None,
    texts: Mapping[str, tuple[str, str]] | None = None,
) -> Path:
    """
    Write each figure to `figures/`, and one page with everything in it.

    Args:
        folder: The run's.
        title: Of the page.
        subtitle: When and how the run was started, for example.
        numbers: What the run reached, by name.
        figures: A caption and a picture, by the name of its file.
        settings: Of the run.
        tables: A caption and rows of which the first is the heading, by title.
        texts: A caption and lines to be shown as they are, by title.

    Returns:
        The path of the page, `report.html`.

    >>> import tempfile
    >>> numbers, settings = {"test accuracy": "98.9 %"}, {"lr": 0.004}
    >>> write_report(Path(tempfile.mkdtemp()), "Digits", "a first run", numbers, {}, settings).name
    'report.html'
    """
    sections = [_table(numbers.items(), "numbers")]
    for name, (caption, figure) in figures.items():
        picture = _png(figure)
        write_whole(folder / "figures" / f"{name}.png", picture)
        width = round(96 * figure.get_figwidth())  # CSS pixels in an inch.
        source = base64.b64encode(picture).decode()
        image = (
            f'<img width="{width}" alt="{html.escape(caption)}" '
            f'src="data:image/png;base64,{source}">'
        )
        sections.append(_section(name.replace("_", " "), caption, image))
    for title_, (caption, (heading, *rows)) in (tables or {}).items():
        sections.append(_section(title_, caption, _table(rows, heading=heading)))
    for title_, (caption, text) in (texts or {}).items():
        sections.append(_section(title_, caption, f"<pre>{html.escape(text)}</pre>"))
    sections.append(_section("settings", "", _table(settings.items())))
    page = (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style><h1>{html.escape(title)}</h1>"
        f"<p>{html.escape(subtitle)}</p>{''.join(sections)}</html>"
    )
    path = folder / "report.html"
    write_whole(path, page.encode())
    return path


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=144)
    return buffer.getvalue()


def _section(title: str, caption: str, content: str) -> str:
    title = title[:1].upper() + title[1:]
    paragraph = f"<p>{html.escape(caption)}</p>" if caption else ""
    return f"<h2>{html.escape(title)}</h2>{paragraph}{content}"


def _table(rows: Iterable[Row], style: str = "", heading: Row = ()) -> str:
    lines = [_row("th", heading)] if heading else []
    lines += [_row("td", row) for row in rows]
    return f'<table class="{style}">{"".join(lines)}</table>'


def _row(cell: str, values: Row) -> str:
    cells = (f"<{cell}>{html.escape(str(value))}</{cell}>" for value in values)
    return f"<tr>{''.join(cells)}</tr>"
