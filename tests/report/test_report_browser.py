"""The report as people meet it, in a real browser: figures, choices, sizes, colours, keyboard, and no network."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from pipelines.report import write_report
from pipelines.warehouse import Target
from tests.support.browser import DESKTOP, PHONE, Seen, open_page, start_browser
from tests.support.report_data import publish_history, store_history

pytestmark = pytest.mark.debian
LAST = date(2026, 3, 9)
HOSTILE = "</script><img src=x onerror=alert(1)> & \"Süd\" '山田'"
FIGURES = ("calls", "service", "abandonment", "pattern", "answered", "abandoned")
TABLES = ("tiles", "summary", "queues", "agents", "callbacks")
NONE = "\N{EN DASH}"  # where nothing can be computed

Query = Callable[..., list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Site:
    """A published history, its report, and SQL on the published copy."""

    target: Target
    report: Path
    query: Query

    @property
    def address(self) -> str:
        """Where a browser finds the report."""
        return self.report.as_uri()


def hostile_call(second: int, status: str = "answered") -> dict[str, object]:
    """A call of another account, in a queue with a name that is markup."""
    start = datetime(2026, 3, 9, 9, 0, second, tzinfo=UTC)
    call = {"account": "acme", "call_day": LAST, "queue_name": HOSTILE, "callerid": f"+4420794601{second:02}"}
    times = {"call_start_at": start, "call_finished_at": start.replace(minute=5)}
    is_answered = status == "answered"
    answered: dict[str, object] = {"call_answered_at": start.replace(minute=1) if is_answered else None}
    answered["answered_by_user_name"] = "<b>Ada</b>" if is_answered else None
    return (
        call
        | {"inbound_number": "+442079460100", "status": status}
        | times
        | (answered if status == "answered" else {})
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Nine weeks of two accounts' calls, published, with a report that shows numbers."""
    folder = tmp_path_factory.mktemp("report")
    more = (hostile_call(1), hostile_call(2), hostile_call(3, "abandoned"))
    target = store_history(folder / "warehouse.duckdb", last=LAST, days=64, queues=3, calls_a_day=150, more=more)
    publish_history(target, folder / "dbt")
    with duckdb.connect(str(folder / "published" / "calls.duckdb"), read_only=True) as connection:

        def query(sql: str, *values: object) -> list[tuple[Any, ...]]:
            return connection.execute(sql, list(values)).fetchall()

        yield Site(target, write_report(target, show_numbers=True), query)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all; each page has a context of its own."""
    with start_browser() as started:
        yield started


def snapshot(seen: Seen) -> dict[str, str]:
    """What every chart and table shows."""
    parts = [*(f"#{name} .chart" for name in FIGURES), *(f"#{name}" for name in TABLES)]
    found: dict[str, str] = seen.page.evaluate(
        "parts => Object.fromEntries(parts.map(part => [part, document.querySelector(part).innerHTML]))", parts
    )
    return found


def share(part: int, whole: int) -> str:
    """As the page writes a rate."""
    return f"{part / whole:.1%}" if whole else NONE


def seconds(value: float | None) -> str:
    """As the page writes a span."""
    if value is None:
        return NONE
    if value < 10 and value != int(value):
        return f"{value:.1f} s"
    minutes, rest = divmod(int(value + 0.5), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


DAYS = "where account = ? and queue_kind = ? and queue_name = ? and local_date between ? and ?"
DAILY = """
    select offered_count, answered_count, abandoned_count, timedout_count, service_level_offered_rate, abandonment_rate
    from marts.queue_days {where} order by local_date
"""
HOURLY = """
    select (isodow(local_date), hour(hour_start_local)), sum(offered_count) / 4
    from marts.queue_hours {where} group by all
"""
WAITS = """
    select sum(calls_count) from marts.queue_wait_buckets {where} and outcome = ?
    group by bucket_start_seconds order by bucket_start_seconds
"""
AGENTS = """
    select answered_by, count(*) from marts.queue_calls {where} and outcome = 'answered'
    group by answered_by order by count(*) desc, answered_by
"""
RANKED = """
    select sum(offered_count), sum(abandoned_count) / sum(offered_count)
    from marts.queue_days where local_date between ? and ? group by account, queue_name order by 1 desc
"""
MEASURED = """
    select sum(offered_count), sum(answered_count), sum(abandoned_count), sum(timedout_count),
        sum(answered_within_target_count), sum(wait_answered_total_seconds) / nullif(sum(wait_answered_count), 0),
        max(longest_wait_seconds)
    from marts.{mart} where local_date between ? and ? and {where}
"""
LOST = """
    select count(distinct account || caller_number),
        count(distinct account || caller_number) filter (where recovered_by is null)
    from marts.lost_calls where local_date between ? and ? and {where}
"""


@pytest.mark.parametrize(
    ("scope", "where"),
    [
        ("*", "1 = 1"),
        ("main", "account = 'main'"),
        ("main/queue/Queue 02", "account = 'main' and queue_name = 'Queue 02'"),
        (f"acme/queue/{HOSTILE}", "account = 'acme'"),
    ],
)
def test_the_figures_are_the_marts(site: Site, browser: Browser, scope: str, where: str) -> None:
    """What stands on the page for a queue, an account or all is what SQL says on the published copy."""
    with open_page(browser, site.address) as seen:
        for period, first in (
            ("days7", date(2026, 3, 3)),
            ("days28", date(2026, 2, 10)),
            ("2026-03", date(2026, 3, 1)),
        ):
            seen.choose(scope, period)
            ((offered, answered, abandoned, timedout, within, speed, longest),) = site.query(
                MEASURED.format(mart="queue_days", where=where), first, LAST
            )
            ((lost, left),) = site.query(LOST.format(where=where), first, LAST)
            counts = [f"{count:,}" for count in (offered, answered, abandoned, timedout)]
            rates = [share(abandoned, offered), share(within, offered), seconds(speed), seconds(longest)]
            shown = [row[1] for row in seen.table("#summary")]
            assert shown == [*counts, *rates, f"{lost:,}", f"{left:,}"], period
        ((offered, _, abandoned, _, within, speed, longest),) = site.query(
            MEASURED.format(mart="queue_days", where=where), LAST, LAST
        )
        ((lost, left),) = site.query(LOST.format(where=where), LAST, LAST)
        tiles = [text.split(" of ")[0] for text in seen.texts("#tiles .value")]
        rates = [share(abandoned, offered), share(within, offered), seconds(speed), seconds(longest)]
        assert tiles == [f"{offered:,}", *rates, f"{left:,}"]


def test_the_tables_beside_the_charts_are_the_marts(site: Site, browser: Browser) -> None:
    """Every chart's table holds the mart's rows: by day, by hour of the week, by wait; and so do the rankings."""
    days = ("main", "queue", "Queue 01", date(2026, 2, 10), LAST)
    with open_page(browser, site.address) as seen:
        seen.choose("main/queue/Queue 01", "days28")
        rows = site.query(DAILY.format(where=DAYS), *days)
        assert [row[1:] for row in seen.table("#calls")] == [[f"{count:,}" for count in row[:4]] for row in rows]
        assert [row[1] for row in seen.table("#service")] == [f"{row[4]:.1%}" for row in rows]
        assert [row[1] for row in seen.table("#abandonment")] == [f"{row[5]:.1%}" for row in rows]
        hours: dict[Any, float] = dict(site.query(HOURLY.format(where=DAYS), *days))
        shown = [float(cell) for row in seen.table("#pattern") for cell in row[1:] if cell != NONE]
        assert shown == [pytest.approx(hours[key], abs=0.5 if hours[key] >= 10 else 0.051) for key in sorted(hours)]
        for outcome in ("answered", "abandoned"):
            buckets = [f"{count:,}" for (count,) in site.query(WAITS.format(where=DAYS), *days, outcome)]
            assert [row[1] for row in seen.table(f"#{outcome}") if row[1] != "0"] == buckets
        agents = site.query(AGENTS.format(where=DAYS), *days)
        assert [row[:2] for row in seen.table("#agents")] == [[name, f"{n:,}"] for name, n in agents[:15]]
        seen.choose("*", "days28")
        ranked = site.query(RANKED, *days[3:])
        assert [row[1:3] for row in seen.table("#queues")] == [[f"{n:,}", f"{rate:.1%}"] for n, rate in ranked]
        ((callers,),) = site.query(
            "select count(distinct account || caller_number) from marts.lost_calls where is_open"
        )
        seen.page.click("#callbacks .more")
        assert len(seen.table("#callbacks")) == callers > 15


def test_choosing_changes_everything(site: Site, browser: Browser) -> None:
    """Another queue changes every chart and table; another period all but the last day's figures and the call-backs."""
    with open_page(browser, site.address) as seen:
        seen.choose("main", "days28")
        account = snapshot(seen)
        seen.choose("main/queue/Queue 01", "days28")
        queue = snapshot(seen)
        assert {part for part in account if account[part] == queue[part]} == set()
        seen.choose("main/queue/Queue 01", "days7")
        week = snapshot(seen)
        assert {part for part in queue if queue[part] == week[part]} == {"#tiles", "#callbacks"}
        seen.page.select_option("#pattern-measure", "service")
        seen.page.wait_for_function("document.documentElement.dataset.drawn.endsWith('service')")
        assert snapshot(seen)["#pattern .chart"] != week["#pattern .chart"]
        assert seen.texts("#said") == ["Shown: Queue 01, Last 7 days."]


def test_a_choice_survives_a_reload(site: Site, browser: Browser) -> None:
    """The choice stands in the address; one that is no longer there is left alone."""
    with open_page(browser, site.address) as seen:
        seen.choose("main/queue/Queue 03", "days7")
        before = snapshot(seen)
        seen.page.reload()
        seen.wait("main/queue/Queue 03 days7")
        assert snapshot(seen) == before
        seen.page.goto(f"{site.address}#queue=gone&period=gone")
        seen.page.reload()
        seen.wait("* days28")


@pytest.mark.parametrize(("size", "colours"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"])
def test_any_screen(site: Site, browser: Browser, size: tuple[int, int], colours: Any) -> None:
    """Every choice fits the screen, fetches nothing, complains of nothing; axe finds nothing, whatever its impact."""
    with open_page(browser, site.address, size, color_scheme=colours) as seen:
        for period in seen.page.eval_on_selector_all("#period option", "all => all.map(one => one.value)"):
            seen.choose("*", period)
            width = seen.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
            assert width[0] <= width[1], period
            assert seen.page.locator(".chart svg").count() == len(FIGURES), period
        seen.choose(f"acme/queue/{HOSTILE}", "day")
        seen.page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
        found = Axe().run(seen.page).response
        assert [(rule["id"], rule["impact"], rule["nodes"][0]["html"][:120]) for rule in found["violations"]] == []
        assert len(found["passes"]) > 20
        assert seen.requests == [site.address]
        assert seen.complaints == []


def test_names_are_text(site: Site, browser: Browser) -> None:
    """Names that are markup are shown as they are, and make no element."""
    with open_page(browser, site.address) as seen:
        seen.choose(f"acme/queue/{HOSTILE}", "days28")
        assert HOSTILE in seen.texts("#scope option")
        assert seen.texts("#period-title") == [f"{HOSTILE}: Last 28 days"]
        assert seen.table("#agents")[0][0] == "<b>Ada</b>"
        assert seen.page.locator("img, b").count() == 0
        assert seen.complaints == []


def test_by_keyboard_alone(site: Site, browser: Browser) -> None:
    """Tab goes to the skip link, the choices, and on; a table is ranked, and a queue chosen, by Enter."""
    with open_page(browser, site.address) as seen:
        seen.wait()
        keys, focused = seen.page.keyboard, "document.activeElement.id || document.activeElement.textContent"
        reached = []
        for _ in range(3):
            keys.press("Tab")
            reached.append(seen.page.evaluate(focused))
        assert reached == ["Skip to the figures", "scope", "period"]
        outline = seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        seen.page.focus("#queues thead button")
        keys.press("Enter")
        assert [row[0] for row in seen.table("#queues")] == sorted(row[0] for row in seen.table("#queues"))
        assert seen.page.evaluate("document.activeElement.closest('th').ariaSort") == "ascending"
        seen.page.focus("#queues tbody tr:nth-child(2) button")
        name = seen.page.evaluate("document.activeElement.textContent")
        keys.press("Enter")
        assert seen.texts("#queues [aria-current] th") == [name.split(", ")[0]]


def test_on_paper(site: Site, browser: Browser) -> None:
    """Printing lists every caller to call back, and hides what paper cannot use."""
    with open_page(browser, site.address, color_scheme="dark") as seen:
        seen.wait()
        listed = len(seen.table("#callbacks"))
        seen.page.emulate_media(media="print")
        seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert len(seen.table("#callbacks")) > listed
        assert not seen.page.locator("details, .more").first.is_visible()
        assert seen.page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"


def test_without_scripts(site: Site, browser: Browser) -> None:
    """A mail's preview, where no script runs, says so and shows the last day's counts."""
    with open_page(browser, site.address, java_script_enabled=False) as seen:
        ((offered,),) = site.query("select sum(offered_count) from marts.queue_days where local_date = ?", LAST)
        assert "open the file in a browser" in seen.page.inner_text("noscript")
        assert f"All accounts\t{offered}\t" in seen.page.inner_text("noscript tbody").replace("\n", "\t")
