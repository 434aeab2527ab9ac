"""Draws the plots of runs as pages that need nothing else: plotly's own code is in them, so that they open offline."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from trailhouse_analytics.errors import RunsInputError
from trailhouse_analytics.runs.curves import Curves, Scatter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from trailhouse_analytics.runs.conditions import Value

__all__ = ["draw", "fits_log_scale", "write_page"]

#: Okabe and Ito's colours, which people of all colour visions can tell apart.
_COLORS: Final = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000", "#8A8D00")
_SCALE: Final = "Viridis"
#: A scale is logarithmic where the largest value is at least so many times the smallest.
_LOG_FROM: Final = 50.0


def fits_log_scale(values: Sequence[Value]) -> bool:
    """Return whether all values are positive numbers that span decades."""
    numbers = [value for value in values if isinstance(value, float)]
    return len(numbers) == len(values) > 1 and min(numbers) > 0 and max(numbers) / min(numbers) >= _LOG_FROM


def draw(plot: Curves | Scatter) -> Any:
    """Return the plot as a plotly figure."""
    import plotly.graph_objects as go  # noqa: PLC0415 - slow to import

    figure = go.Figure(layout=_layout(plot))
    if isinstance(plot, Curves):
        _draw_curves(figure, go, plot)
    else:
        _draw_scatter(figure, go, plot)
    return figure


def write_page(plot: Curves | Scatter, path: Path) -> None:
    """Write the plot as one HTML file; raises `RunsInputError` when it cannot be written."""
    try:
        draw(plot).write_html(
            path,
            include_plotlyjs=True,
            full_html=True,
            default_height="95vh",
            config={"displaylogo": False},
        )
    except OSError as error:
        raise RunsInputError(
            f"File {path} cannot be written ({error.strerror}); choose another with --output"
        ) from error


def _layout(plot: Curves | Scatter) -> dict[str, Any]:
    metric = f"{plot.metric.name}{f' ({plot.metric.split})' if plot.metric.split else ''}"
    if isinstance(plot, Curves):
        x_title = "step" if plot.by_step else "seconds since the first point"
        y_title = metric
        x_axis: dict[str, Any] = {}
    else:
        x_title = plot.parameter
        y_title = f"{metric}, {plot.metric.statistic} value"
        x_axis = _axis(plot.x)
    notes = "; ".join(plot.notes)
    return {
        "template": "plotly_white",
        "title": {"text": f"{y_title}, by {x_title}", "subtitle": {"text": notes}},
        "xaxis": {"title": {"text": x_title}, **x_axis},
        "yaxis": {"title": {"text": y_title}},
        "font": {"family": "system-ui, sans-serif", "size": 14},
        "colorway": list(_COLORS),
        "hovermode": "closest",
        "legend": {"title": {"text": plot.color or "run"}},
        "margin": {"t": 90, "r": 30},
    }


def _axis(values: Sequence[Value]) -> dict[str, Any]:
    if not all(isinstance(value, float) for value in values):
        return {"type": "category"}
    if not fits_log_scale(values):
        return {"type": "linear"}
    return {"type": "log", "dtick": 1, "minor": {"ticks": "outside"}, "exponentformat": "power"}


def _draw_curves(figure: Any, go: Any, plot: Curves) -> None:
    points: dict[str, tuple[list[float], list[float]]] = {}
    for row in plot.table.select(["label", "x", "y"]).to_pylist():
        xs, ys = points.setdefault(row["label"], ([], []))
        xs.append(row["x"])
        ys.append(row["y"])
    values = [plot.colors.get(label) for label in points]
    numbers = [value for value in values if isinstance(value, float)]
    by_number = bool(numbers) and len(numbers) == len([value for value in values if value is not None])
    words = {word: _COLORS[at % len(_COLORS)] for at, word in enumerate(dict.fromkeys(str(v) for v in values))}
    for (label, (xs, ys)), value in zip(points.items(), values, strict=True):
        line: dict[str, Any] = {"width": 2}
        if plot.color:
            line["color"] = _on_scale(value, numbers) if by_number else words[str(value)]
        about = f"<br>{plot.color} = {_text(value)}" if plot.color else ""
        figure.add_trace(
            go.Scatter(
                x=xs,
                y=ys,
                mode="lines+markers" if len(xs) <= 30 else "lines",  # noqa: PLR2004 - where markers touch
                name=f"{label} ({_text(value)})" if plot.color else label,
                line=line,
                hovertemplate=f"{label}{about}<br>%{{x}}: %{{y:.5g}}<extra></extra>",
            )
        )


def _draw_scatter(figure: Any, go: Any, plot: Scatter) -> None:
    labels = plot.table.column("label").to_pylist()
    hover = f"%{{text}}<br>{plot.parameter} = %{{x}}<br>%{{y:.5g}}<extra>%{{meta}}</extra>"
    numbers = [value for value in plot.colors if isinstance(value, float)]
    if numbers and len(numbers) == len([value for value in plot.colors if value is not None]):
        marker = {"size": 11, "line": {"width": 1, "color": "white"}, **_color_axis(plot, numbers)}
        figure.add_trace(
            go.Scatter(x=plot.x, y=plot.y, mode="markers", text=labels, meta="", marker=marker, hovertemplate=hover)
        )
        figure.update_layout(showlegend=False)
        return
    for word in dict.fromkeys(_text(value) if plot.color else "" for value in plot.colors):
        at = [i for i, value in enumerate(plot.colors) if not plot.color or _text(value) == word]
        figure.add_trace(
            go.Scatter(
                x=[plot.x[i] for i in at],
                y=[plot.y[i] for i in at],
                mode="markers",
                name=word,
                text=[labels[i] for i in at],
                meta=f"{plot.color} = {word}" if plot.color else "",
                marker={"size": 11, "line": {"width": 1, "color": "white"}},
                hovertemplate=hover,
            )
        )
    figure.update_layout(showlegend=bool(plot.color))


def _color_axis(plot: Scatter, numbers: Sequence[float]) -> dict[str, Any]:
    bar: dict[str, Any] = {"title": {"text": plot.color}}
    if not fits_log_scale(numbers):
        return {"color": plot.colors, "colorscale": _SCALE, "colorbar": bar}
    exponents = range(math.floor(math.log10(min(numbers))), math.ceil(math.log10(max(numbers))) + 1)
    bar |= {"tickvals": list(exponents), "ticktext": [f"{10.0**exponent:g}" for exponent in exponents]}
    color = [math.log10(value) if isinstance(value, float) else None for value in plot.colors]
    return {"color": color, "colorscale": _SCALE, "colorbar": bar}


def _on_scale(value: Value | None, numbers: Sequence[float]) -> str:
    from plotly.colors import sample_colorscale  # noqa: PLC0415 - slow to import

    if not isinstance(value, float):
        return "#999999"
    low, high = min(numbers), max(numbers)
    if fits_log_scale(numbers):
        value, low, high = math.log10(value), math.log10(low), math.log10(high)
    return str(sample_colorscale(_SCALE, [(value - low) / (high - low) if high > low else 0.5])[0])


def _text(value: Value | None) -> str:
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
