"""The charts as Vega-Lite specifications. Altair checks them here; the page fills and draws them.

Colours are the page's CSS variables, so the styles alone decide about light, dark and print. No two marks differ only
in hue: abandoned calls are hatched, timed-out calls dotted, targets dashed, and cells show their number.
"""

from typing import Any

import altair as alt

OUTCOMES = ["Answered", "Abandoned", "Timed out", "Other"]
FILLS = ["var(--answered)", "url(#hatched)", "url(#dotted)", "var(--other)"]
LEVELS = 6  # of the heat map; each has a CSS variable
ROW_HEIGHT = 26
AXIS_WIDTH = 48  # the same for all charts, so that their left edges align
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def draw_charts() -> dict[str, dict[str, Any]]:
    """The specification of every chart by name. Its data set is called `rows`; the page supplies it."""
    charts = {
        "calls": _calls(),
        "service": _rates("Service level", dashed_target=True),
        "abandonment": _rates("Abandonment"),
        "pattern": _pattern(hours_across=True),
        "pattern_narrow": _pattern(hours_across=False),
        "answered": _waits("var(--answered)"),
        "abandoned": _waits("url(#hatched)"),
    }
    return {name: _styled(chart).to_dict() for name, chart in charts.items()}


def _chart() -> Any:
    return alt.Chart(alt.NamedData("rows"))


def _steps() -> Any:
    """An axis of dates or hours in the page's order and words; the page chooses which have a label."""
    return alt.X("step:O", sort=None, title=None, axis=alt.Axis(labelAngle=0, labelOverlap="greedy", domain=True))


def _calls() -> Any:
    scale = alt.Scale(domain=OUTCOMES, range=FILLS)
    return (
        _chart()
        .mark_bar()
        .encode(
            x=_steps(),
            y=alt.Y("calls:Q", title=None, axis=_count_axis()),
            color=alt.Color("outcome:N", scale=scale, legend=None),
            order=alt.Order("place:Q"),
            tooltip=[_tooltip("whole_step", "When"), _tooltip("outcome", "Outcome"), _tooltip("calls", "Calls")],
        )
        .properties(width="container", height=150)
    )


def _rates(title: str, *, dashed_target: bool = False) -> Any:
    scale = alt.Scale(domain=[0, 1]) if dashed_target else alt.Scale(nice=4)
    line = (
        _chart()
        .mark_line(
            point=alt.OverlayMarkDef(filled=True, size=36, color="var(--line)"), color="var(--line)", strokeWidth=2
        )
        .encode(
            x=_steps(),
            y=alt.Y("rate:Q", title=None, axis=_share_axis(4), scale=scale),
            tooltip=[_tooltip("whole_step", "When"), _tooltip("shown", title), _tooltip("of", "Calls")],
        )
    )
    if not dashed_target:
        return line.properties(width="container", height=96)
    target = (
        _chart()
        .transform_filter("isValid(datum.target)")
        .mark_rule(strokeDash=[5, 4], strokeWidth=1.5, color="var(--ink)")
        .encode(y="max(target):Q")
    )
    return (line + target).properties(width="container", height=110)


def _pattern(*, hours_across: bool) -> Any:
    hour: dict[str, Any] = {"sort": None, "title": None, "axis": alt.Axis(labelAngle=0, labelOverlap=False)}
    x, y = ("hour:O", "day:O") if hours_across else ("day:O", "hour:O")
    cells = _chart().encode(x=alt.X(x, **hour), y=alt.Y(y, **hour))
    domain = list(range(LEVELS))
    colours = alt.Scale(domain=domain, range=[f"var(--heat-{level})" for level in domain])
    inks = alt.Scale(domain=domain, range=[f"var(--on-heat-{level})" for level in domain])
    tooltip = [_tooltip("when", "When"), _tooltip("shown", "Value"), _tooltip("of", "Calls offered")]
    squares = cells.mark_rect(stroke="var(--paper)", strokeWidth=2).encode(
        color=alt.Color("level:O", scale=colours, legend=None), tooltip=tooltip
    )
    numbers = cells.mark_text(fontSize=11).encode(
        text="text:N", color=alt.Color("level:O", scale=inks, legend=None), tooltip=tooltip
    )
    drawn = alt.layer(squares, numbers).resolve_scale(color="independent")
    return drawn.properties(width="container", height=7 * ROW_HEIGHT)  # the page sets it if the hours run down


def _waits(fill: str) -> Any:
    bars = (
        _chart()
        .mark_bar(color=fill)
        .encode(
            x=alt.X("bucket:O", sort=None, title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("share:Q", title=None, axis=_share_axis(3)),
            tooltip=[_tooltip("whole_bucket", "Waited"), _tooltip("shown", "Share"), _tooltip("calls", "Calls")],
        )
    )
    return bars.properties(width="container", height=120)


def _count_axis() -> Any:
    return alt.Axis(tickCount=4, tickMinStep=1, format=",d", minExtent=AXIS_WIDTH, grid=True, domain=False)


def _share_axis(ticks: int) -> Any:
    return alt.Axis(format=".0%", tickCount=ticks, minExtent=AXIS_WIDTH, grid=True, domain=False)


def _tooltip(field: str, title: str) -> Any:
    return alt.Tooltip(f"{field}:N", title=title)


def _styled(chart: Any) -> Any:
    """The chart without frame and ticks, only with horizontal lines. Screen readers get the table beside it instead."""
    return (
        chart.properties(autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
        .configure(
            aria=False, background="transparent", font=FONT, padding={"left": 0, "right": 4, "top": 8, "bottom": 0}
        )
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--muted)",
            labelFontSize=12,
            labelPadding=6,
            domainColor="var(--rule)",
            gridColor="var(--rule)",
            ticks=False,
            grid=False,
        )
        .configure_scale(bandPaddingInner=0.15, bandPaddingOuter=0.1, barBandPaddingInner=0.15)
    )
