"""Plots as SVG, readable on light and on dark pages: they follow what the reader prefers, background included."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pygal  # type: ignore[import-untyped,import-not-found,unused-ignore]
from pygal.style import Style  # type: ignore[import-untyped,import-not-found,unused-ignore]

_STYLE = Style(
    background="#ffffff",
    plot_background="#ffffff",
    foreground="#1f2328",
    foreground_strong="#1f2328",
    foreground_subtle="#59636e",
    opacity=".9",
    opacity_hover="1",
    colors=("#3b82f6", "#e0701a", "#2a9d63", "#a855f7", "#d64561", "#8a8f98"),
    font_family="system-ui, sans-serif",
    title_font_size=18,
    label_font_size=13,
    major_label_font_size=13,
    legend_font_size=13,
    value_font_size=12,
)
_DARK = """inline:@media (prefers-color-scheme: dark) {
.background { fill: #0d1117 !important; }
text, .title, .value { fill: #e6edf3 !important; }
.axis .line, .axis .guides { stroke: #9198a1 !important; }
}"""

_CSS = ("file://style.css", "file://graph.css", _DARK)


def _settings(title: str, **settings: Any) -> dict[str, Any]:  # noqa: ANN401 - pygal's own
    return {
        "title": title,
        "style": _STYLE,
        "css": _CSS,
        "js": (),
        "no_prefix": True,  # or each run would write other ids
        "disable_xml_declaration": True,
        "width": 900,
        "legend_at_bottom": True,
        **settings,
    }


def bars(
    path: Path, title: str, labels: Sequence[str], series: Mapping[str, Sequence[float]], *, places: int = 0
) -> None:
    """Draw bars from left to right on a logarithmic scale, each with its figure; the first label on top."""
    figures = [figure for each in series.values() for figure in each]
    chart = pygal.HorizontalBar(
        **_settings(
            title,
            logarithmic=True,
            height=110 + 22 * len(labels) * len(series),
            print_values=True,
            print_values_position="top",
            value_formatter=lambda value: f"{value:,.{places}f}",
            range=(min(figures) / 2, max(figures) * 2),
            zero=min(figures) / 2,
            show_x_labels=False,  # each bar has its figure
            css=(*_CSS, "inline:.guide { display: none !important; }"),
            show_legend=len(series) > 1,
        )
    )
    chart.x_labels = list(reversed(labels))
    for name, each in series.items():
        chart.add(name, list(reversed(each)))
    chart.render_to_file(str(path))


def lines(path: Path, title: str, series: Mapping[str, Sequence[tuple[float, float]]], x: str, **settings: Any) -> None:  # noqa: ANN401 - pygal's own
    """Draw lines through points."""
    chart = pygal.XY(**_settings(title, height=420, x_title=x, dots_size=3, **settings))
    for name, points in series.items():
        chart.add(name, list(points))
    chart.render_to_file(str(path))
