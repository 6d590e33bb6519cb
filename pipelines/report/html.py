"""Builds the page: figures, charts, styles and scripts in one HTML file that fetches nothing.

The content security policy lists every script and style by its hash and allows no connection. Vega's expression
interpreter draws the charts, so nothing needs `eval`. The figures are JSON in a block that is not executed. Names that
users have given are never markup, neither there nor in the page, which writes them as text.
"""

import base64
import hashlib
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import vl_convert
from jinja2 import Environment, FileSystemLoader

from pipelines.publish.reader import Query, Row
from pipelines.report import figures
from pipelines.report.agents import AGENT, read_agents, read_callbacks
from pipelines.report.figures import read_cube, read_scopes, read_trends
from pipelines.report.periods import Calendar, default_period, last_whole_date, list_periods, read_calendar
from pipelines.report.queries import Marts, ask

PAGE = Path(__file__).parent / "assets"
SCRIPTS = ("words.js", "specs.js", "charts.js", "headline.js", "tables.js", "report.js")
DEFINED = ("queue_days", "queue_hour_of_week", "queue_wait_buckets", "lost_calls", "agent_days", "load_health")


def read_data(query: Query, definitions: dict[str, str], *, show_numbers: bool) -> dict[str, Any]:
    """All data of the page."""
    health, accounts = ask(query, "health"), ask(query, "accounts")
    shown = {name: text for name, text in definitions.items() if name.startswith(DEFINED)}
    data: dict[str, Any] = {"made_at": datetime.now(UTC), "health": health, "definitions": shown}
    if not accounts:
        return data | {"scopes": [], "periods": []}
    calendar, behind = _calendar(accounts, health)
    scopes, periods = read_scopes(query), list_periods(calendar)
    marts = Marts(query, has_total=len(accounts) > 1)
    cube = read_cube(marts, scopes, periods, calendar)
    return data | {
        "as_of": calendar.as_of,
        "is_whole": calendar.is_whole,
        "behind": behind,
        "scopes": [{"key": scope.key, **asdict(scope)} for scope in scopes],
        "periods": [{**asdict(period), "weekdays": period.weekdays()} for period in periods],
        "period": default_period(periods),
        "steps": read_trends(marts, cube, periods, calendar),
        "agents": read_agents(marts, cube, periods, calendar),
        "callbacks": read_callbacks(query, show_numbers=show_numbers),
        "cube": cube,
        "names": {
            "summary": figures.SUMMARY,
            "pattern": figures.PATTERN,
            "lost": figures.LOST,
            "agent": AGENT,
            "buckets": figures.BUCKETS,
        },
    }


def write_page(data: dict[str, Any], *, night: str | None = None) -> str:
    """The HTML. With `night` it is a page for `calls dashboard`, which asks every few seconds for a newer night."""
    scripts = [_vega(), "(() => {\n" + "\n".join(map(_read, SCRIPTS)) + "\n})();"]
    if night is not None:
        scripts.append(_read("live.js"))
    style = _read("page.css")
    policy = "; ".join(
        [
            "default-src 'none'",
            "script-src " + " ".join(map(_hash, scripts)),
            "style-src " + _hash(style),
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
        + (["connect-src 'self'"] if night is not None else [])
    )
    template = Environment(loader=FileSystemLoader(PAGE), autoescape=True).get_template("page.html")
    return template.render(
        policy=policy, style=style, scripts=scripts, json=_json(data), night=night, plain=_plain(data), data=data
    )


def _calendar(accounts: list[Row], health: list[Row]) -> tuple[Calendar, list[Row]]:
    """The calendar, and the accounts whose calls are missing at its end."""
    offsets = {row["account"]: timedelta(minutes=row["utc_offset_minutes"]) for row in accounts}
    whole: dict[str, date] = {}
    for row in health:
        account = row["account"]
        if row["endpoint"] != "user_calls" and account in offsets:
            reached = last_whole_date(row["last_load_at"], row["last_day_date"], offsets[account])
            whole[account] = min(reached, whole.get(account, reached))
    first, newest = min(row["first_date"] for row in accounts), max(row["newest_date"] for row in accounts)
    loaded_at = max(row["last_load_at"] for row in health)
    calendar = read_calendar(first, newest, list(whole.values()), loaded_at)
    behind = [{"account": account, "until": day} for account, day in whole.items() if day < calendar.as_of]
    return calendar, behind if calendar.is_whole else []


def _plain(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The last day's figures for readers without scripts, such as a mail preview."""
    rows = []
    for scope in data["scopes"]:
        counts = data["cube"][scope["key"]]["summary"].get("day")
        rows.append({"scope": scope, **(dict(zip(figures.SUMMARY, counts, strict=True)) if counts else {})})
    return rows


@cache
def _vega() -> str:
    """Vega-Embed, Vega and Vega-Lite as one script."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _read(name: str) -> str:
    return (PAGE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _json(value: Any) -> str:
    """JSON that cannot end its script block, whatever the name of a queue."""
    text = orjson.dumps(value, default=date.isoformat).decode()  # `default` is for pendulum's dates
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
