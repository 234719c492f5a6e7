"""Target false-positive rates that admins set for banks."""

from sqlalchemy import Connection, delete, select

from anomalign.errors import InputError
from anomalign.service.store.columns import now
from anomalign.service.store.database import Database, insertion
from anomalign.service.store.event_rows import write
from anomalign.service.store.tables import rates


class RateRows:
    """The table of target rates: `Store.rates`. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, bank: str) -> float | None:
        """Return the target rate of a bank; None where no admin has set one."""
        with self._database.reading() as connection:
            return _get(connection, bank)

    def set(self, bank: str, value: float | None, who: str) -> None:
        """Set the target rate of a bank; None returns to the default."""
        if value is not None and not 0 < value < 1:
            raise InputError(f"a target rate of {value}; it lies between 0 and 1")
        with self._database.writing() as connection:
            time, before = now(), _get(connection, bank)
            if value is None:
                connection.execute(delete(rates).where(rates.c.bank == bank))
            else:
                columns = {"target_fpr": float(value), "who": who, "time": time}
                row = insertion(connection, rates).values(bank=bank, **columns)
                connection.execute(row.on_conflict_do_update(index_elements=["bank"], set_=columns))
            write(connection, who, "rate", bank, None, {"before": before, "after": value}, time)


def _get(connection: Connection, bank: str) -> float | None:
    value: float | None = connection.execute(
        select(rates.c.target_fpr).where(rates.c.bank == bank)
    ).scalar_one_or_none()
    return value
