"""Writes `schema.graphql`: `python -m schema.print`."""

from pathlib import Path

from schema import schema

PATH = Path(__file__).with_name("schema.graphql")


def text() -> str:
    """Print the schema in GraphQL's own words."""
    return schema.as_str().rstrip() + "\n"


if __name__ == "__main__":
    PATH.write_text(text(), encoding="utf-8")
