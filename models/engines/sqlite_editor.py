"""The schema editor for SQLite that keeps what the stock one loses when it rebuilds a table."""

from collections.abc import Sequence
from typing import Any

from tortoise.fields import Field
from tortoise.migrations.schema_editor import SqliteSchemaEditor
from tortoise.models import Model


class KeepingSchemaEditor(SqliteSchemaEditor):
    """Rebuilding a table keeps its indexes, triggers and unique constraints, unless a column of theirs goes.

    SQLite changes most columns by copying the table, dropping it and renaming the copy. Foreign keys must be off
    meanwhile (`models.migrator` does that), or dropping the table would empty its children.
    """

    async def _run_sql(self, sql: str) -> None:
        if self.collect_sql:
            self.collected_sql.append(sql)
        else:
            await self.client.execute_script(sql)  # the stock one splits triggers at every semicolon

    async def _remake_table(
        self,
        model: type[Model],
        create_field: Field[Any] | None = None,
        delete_field: Field[Any] | None = None,
        alter_fields: Sequence[tuple[Field[Any], Field[Any]]] | None = None,
    ) -> None:
        table = model._meta.db_table  # noqa: SLF001 - Tortoise's word for a model's table, used all over its editors
        named, unique = await self._named(table), await self._unique(table)
        await super()._remake_table(model, create_field, delete_field, alter_fields)
        if self.collect_sql:
            return
        columns = {row["name"] for row in await self._rows(f'PRAGMA table_xinfo("{table}")')}
        for statement, needed in named:
            if needed <= columns:
                await self._run_sql(statement)
        altered = {(old.source_field or old.model_field_name,) for old, _ in alter_fields or ()}
        for lost in unique - await self._unique(table) - altered:
            if columns.issuperset(lost):
                name, listed = f"uid_{table}_{'_'.join(lost)}", ", ".join(f'"{column}"' for column in lost)
                await self._run_sql(f'CREATE UNIQUE INDEX "{name}" ON "{table}" ({listed})')

    async def _named(self, table: str) -> list[tuple[str, set[str]]]:
        """List the statements that made the table's indexes and triggers, with the columns that each index needs."""
        made = await self._rows(
            "SELECT name, sql FROM sqlite_schema WHERE tbl_name = ? AND type IN ('index', 'trigger') AND sql > ''",
            table,
        )
        return [(row["sql"], set(await self._columns(row["name"]))) for row in made]

    async def _unique(self, table: str) -> set[tuple[str, ...]]:
        """List the columns of each unique constraint, whether it stands in the table or beside it."""
        indexes = await self._rows(f'PRAGMA index_list("{table}")')
        return {await self._columns(row["name"]) for row in indexes if row["unique"] and not row["partial"]}

    async def _columns(self, index: str) -> tuple[str, ...]:
        return tuple(row["name"] for row in await self._rows(f'PRAGMA index_info("{index}")') if row["name"])

    async def _rows(self, query: str, *values: str) -> list[dict[str, Any]]:
        return await self.client.execute_query_dict(query, list(values))
