"""Messages to deliver. They are written in the transaction of their record, and deleted when they are confirmed."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from anomalign.errors import InputError
from anomalign.service.store.columns import now
from anomalign.service.store.database import Database, insertion
from anomalign.service.store.event_rows import write as write_event
from anomalign.service.store.lease import Lease
from anomalign.service.store.messages import Destination, Message, Outgoing, content_of
from anomalign.service.store.records import Record
from anomalign.service.store.tables import outbox, receivers

# Made once, as a commit of a record waits for them.
_row = and_(receivers.c.receiver == bindparam("to"), receivers.c.bank == bindparam("of"))
_ADVANCE = update(receivers).where(_row).values(queued=receivers.c.queued + bindparam("count"))
_LAST = select(receivers.c.queued).where(_row)


class OutboxRows:
    """The tables of messages and receivers: `Store.outbox`. Every public method but `write` is one transaction."""

    def __init__(self, database: Database, destinations: Sequence[Destination]) -> None:
        self._database = database
        # In one order, so that two processes never wait for each other.
        self._destinations = sorted(destinations, key=lambda destination: destination.name)

    def write(self, connection: Connection, records: Sequence[Record]) -> None:
        """Add the messages of new records, within the transaction that writes the records."""
        contents = {record.id: content_of(record) for record in records} if self._destinations else {}
        rows = [row for one in self._destinations for row in _rows(connection, one, records, contents)]
        if rows:
            connection.execute(insert(outbox), rows)

    def pending(self, receiver: str, limit: int) -> list[Message]:
        """Return the oldest messages that a receiver has not confirmed, in their order."""
        columns = outbox.c
        query = select(*columns).where(columns.receiver == receiver).order_by(columns.id).limit(limit)
        with self._database.reading() as connection:
            return [Message(*row) for row in connection.execute(query)]

    def confirm(self, messages: Sequence[Message]) -> None:
        """Delete messages of one receiver that were delivered, and count them."""
        with self._database.writing() as connection:
            for bank, of_bank in groupby(sorted(messages, key=lambda one: one.bank), key=lambda one: one.bank):
                places, table = [one.place for one in of_bank], receivers.c
                count = connection.execute(delete(outbox).where(outbox.c.id.in_(places))).rowcount
                connection.execute(
                    update(receivers)
                    .where(table.receiver == messages[0].receiver, table.bank == bank)
                    .values(delivered=table.delivered + count, delivered_at=now())
                )

    def counts(self, receiver: str) -> dict[str, int]:
        """Return the sequence number of the last message that left the outbox, by bank."""
        waiting = select(func.min(outbox.c.sequence)).where(
            outbox.c.receiver == receivers.c.receiver, outbox.c.bank == receivers.c.bank
        )
        first = func.coalesce(waiting.scalar_subquery(), receivers.c.queued + 1)
        query = select(receivers.c.bank, first - 1).where(receivers.c.receiver == receiver)
        with self._database.reading() as connection:
            return {bank: int(count) for bank, count in connection.execute(query)}

    def outgoing(self) -> list[Outgoing]:
        """Return the numbers of every receiver that ever had a message, by name."""
        waiting = (
            select(outbox.c.receiver, func.count().label("pending"), func.min(outbox.c.id).label("first"))
            .group_by(outbox.c.receiver)
            .subquery()
        )
        arrived = (
            select(
                receivers.c.receiver,
                func.sum(receivers.c.delivered).label("delivered"),
                func.max(receivers.c.delivered_at).label("delivered_at"),
            )
            .group_by(receivers.c.receiver)
            .subquery()
        )
        query = (
            select(
                arrived.c.receiver,
                func.coalesce(waiting.c.pending, 0),
                outbox.c.time,
                arrived.c.delivered,
                arrived.c.delivered_at,
            )
            .select_from(arrived)
            .outerjoin(waiting, waiting.c.receiver == arrived.c.receiver)
            .outerjoin(outbox, and_(outbox.c.id == waiting.c.first))
            .order_by(arrived.c.receiver)
        )
        with self._database.reading() as connection:
            return [
                Outgoing(receiver, int(pending), oldest, int(delivered), delivered_at)
                for receiver, pending, oldest, delivered, delivered_at in connection.execute(query)
            ]

    def drop(self, receiver: str, who: str, first: int | None = None) -> int:
        """Delete the oldest `first` messages of a receiver, by default all; the audit log gets a row.

        Returns
        -------
        int
            Number of messages that were deleted.
        """
        if first is not None and first < 1:
            raise InputError(f"first is {first}; must be at least 1")
        places = select(outbox.c.id).where(outbox.c.receiver == receiver).order_by(outbox.c.id).limit(first)
        with self._database.writing() as connection:
            count = connection.execute(delete(outbox).where(outbox.c.id.in_(places.scalar_subquery()))).rowcount
            if count:
                write_event(connection, who, "drop messages", None, None, {"receiver": receiver, "messages": count})
        return count

    def lease(self, receiver: str) -> Lease:
        """Make the lease of a receiver: of all processes with this database only its holder delivers."""
        return Lease(self._database, receiver)


def _rows(
    connection: Connection,
    destination: Destination,
    records: Sequence[Record],
    contents: Mapping[int, dict[str, Any]],
) -> Iterator[dict[str, Any]]:
    wanted = [record for record in records if destination.bank in (None, record.bank)]
    last = {
        bank: _advance(connection, destination.name, bank, sum(record.bank == bank for record in wanted))
        for bank in sorted({record.bank for record in wanted})
    }
    remaining = {bank: sum(record.bank == bank for record in wanted) for bank in last}
    for record in wanted:
        remaining[record.bank] -= 1
        yield {
            "message_id": str(uuid.uuid4()),
            "receiver": destination.name,
            "bank": record.bank,
            "sequence": last[record.bank] - remaining[record.bank],
            "record": record.id,
            "time": record.time,
            "content": contents[record.id],
        }


def _advance(connection: Connection, receiver: str, bank: str, count: int) -> int:
    """Count new messages, and return the sequence number of the last. Another process waits here for our commit."""
    values = {"to": receiver, "of": bank, "count": count}
    if not connection.execute(_ADVANCE, values).rowcount:
        first = insertion(connection, receivers).values(receiver=receiver, bank=bank, queued=0, delivered=0)
        connection.execute(first.on_conflict_do_nothing())
        connection.execute(_ADVANCE, values)
    return int(connection.execute(_LAST, values).scalar_one())
