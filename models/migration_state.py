"""The models as they are between two migrations, made no sooner than somebody asks for them.

Tortoise makes all of them anew before and after each step of each migration, and makes them ready for queries. That is
nearly all that the first start on an empty database would do.
"""

from collections.abc import Callable
from functools import cached_property, partial
from typing import cast

from pypika_tortoise.queries import Query, Table
from tortoise.migrations.schema_generator.state import ModelState, State
from tortoise.migrations.schema_generator.state_apps import StateApps
from tortoise.models import Model

Models = dict[tuple[str, str], ModelState]


class LateApps(StateApps):
    """The models themselves, each ready for queries once it was asked for."""

    def _build_initial_querysets(self) -> None:
        """Leave it to `get_model`."""

    def get_model(self, app_label: str, model_name: str | None = None) -> type[Model]:
        """Give a model by its app's label and its name, or both in one as `app.Model`.

        A query that goes through another model finds that one ready only if it was asked for too.
        """
        model = super().get_model(app_label, model_name)
        meta = model._meta  # noqa: SLF001 - as the stock one asks of each
        if meta._inited and meta.default_connection is not None:  # noqa: SLF001 - as above
            meta.finalise_model()
            meta.basetable = Table(name=meta.db_table, schema=meta.schema)
            query = meta.db.query_class.from_(meta.basetable)
            meta.basequery = cast("Query", query)
            meta.basequery_all_fields = cast("Query", query.select(*meta.db_fields))
        return model


class LateState(State):
    """What is known of all models; the copy from before a step is hardly ever looked at."""

    def __init__(self, models: Models, make: Callable[[], StateApps]) -> None:
        self.models = models
        self._make = make

    @cached_property
    def apps(self) -> StateApps:  # type: ignore[override] # a field of the stock one
        """The models themselves."""
        return self._make()

    def clone(self) -> State:
        """Copy it as it is now."""
        models = {key: model.clone() for key, model in self.models.items()}
        return LateState(models, partial(self.apps.clone, model_states=models))
