"""Times in words, and one document or one table."""

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.cli.output import age_in_words, duration_in_words, emit, utc_minute


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "under a second"),
        (0.4, "under a second"),
        (1, "1 second"),
        (59.6, "1 minute"),
        (65, "1 minute 5 seconds"),
        (3_600, "1 hour"),
        (3_905, "1 hour 5 minutes"),
        (255_840, "2 days 23 hours"),
        (86_400 * 8, "1 week 1 day"),
    ],
)
def test_a_duration(seconds: float, words: str) -> None:
    """A duration has its two largest units."""
    assert duration_in_words(seconds) == words


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=2), "a few seconds ago"),
        (timedelta(minutes=59, seconds=30), "59 minutes ago"),
        (timedelta(hours=3, minutes=50), "3 hours ago"),
        (timedelta(days=2, hours=1), "2 days ago"),
        (timedelta(minutes=-12, seconds=-30), "in 12 minutes"),
    ],
)
def test_an_age(ago: timedelta, words: str) -> None:
    """An age is what people say; an instant of a clock that is ahead lies in the future."""
    assert age_in_words(datetime.now(UTC) - ago) == words


def test_an_instant() -> None:
    """An instant is shown to the minute in UTC, whatever its offset; none is a dash, and was never."""
    assert utc_minute(datetime.fromisoformat("2026-01-31T09:05:59+11:00")) == "2026-01-30 22:05"
    assert (utc_minute(None), age_in_words(None)) == ("-", "never")


def test_json_or_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    """One of the two is written, never both."""
    emit({"calls": 3}, True, lambda: print("a table"))
    assert capsys.readouterr().out == '{\n  "calls": 3\n}\n'
    emit({"calls": 3}, False, lambda: print("a table"))
    assert capsys.readouterr().out == "a table\n"
