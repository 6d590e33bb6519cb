"""Two facts about the published marts besides their rows: the columns' definitions, and which night they are of."""

import os

from pipelines.publish import published_folder
from pipelines.publish.duckdb import FILE
from pipelines.publish.reader import Query, open_marts
from pipelines.warehouse import Target

COMMENTS = {
    "duckdb": """
        select table_name as mart, column_name as name, comment
        from duckdb_columns() where schema_name = 'marts' and comment is not null""",
    "postgres": """
        select c.relname as mart, a.attname as name, col_description(c.oid, a.attnum) as comment
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = 'marts'::regnamespace and col_description(c.oid, a.attnum) is not null""",
}
# Each publish writes the comment, unless the schema is another login's. Each build makes the table anew.
NIGHT = """
    select coalesce(
        obj_description('marts'::regnamespace, 'pg_namespace'), cast('marts.load_health'::regclass::oid as text)
    ) as night"""


def read_definitions(query: Query, target: Target) -> dict[str, str]:
    """The models' description of each column, by `mart.column`."""
    return {f"{row['mart']}.{row['name']}": row["comment"] for row in query(COMMENTS[target.engine])}


def published_night(target: Target) -> str:
    """A text that changes whenever a night is published; empty if nothing is published."""
    if target.engine == "duckdb":
        try:
            found = os.stat(published_folder(target) / FILE)
        except FileNotFoundError:
            return ""
        return f"{found.st_ino}-{found.st_mtime_ns}"
    with open_marts(target) as query:
        return str(query(NIGHT)[0]["night"])
