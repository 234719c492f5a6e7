"""Inspections: every record is read again, in every order and by every filter, on both databases."""

import itertools
import threading
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomalign import Neighbour
from anomalign.errors import InputError, NotFoundError
from anomalign.service.store import Filters, Store
from tests.service.store.new_records import BEGINNING, new_record, varied_records

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def plain(text):
    """Return the text as databases store it."""
    return text.replace("\0", "\ufffd").encode("utf-8", "backslashreplace").decode()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.text(st.characters(), max_size=20),  # halves of characters too, as undecodable file names have
    score=FINITE,
    p_value=FINITE,
    time=st.datetimes(timezones=st.sampled_from([timezone.utc, timezone(timedelta(hours=-7, minutes=-30))]),
                      min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),
    details=st.binary(max_size=100),
    distance=FINITE,
)  # fmt: skip
def test_what_was_added_is_read_again_to_the_last_bit(store, name, score, p_value, time, details, distance):
    near = (Neighbour(2**40, name, "c" * 64, distance),)
    entry = {"image": name, "image_score": score, "neighbours": [vars(near[0])], "z": None, "a": True}
    new = new_record(
        name=name, image_score=score, p_value=p_value, time=time, details=details, neighbours=near, entry=entry
    )
    (record,) = store.add([new])
    assert store.get(record.id) == record
    assert (record.name, record.time, record.neighbours) == (plain(name), time, near)
    assert record.time.utcoffset() == timedelta(0)
    assert (record.image_score.hex(), record.p_value.hex()) == (score.hex(), p_value.hex())
    assert record.decision is None
    assert store.details(record.id) == details
    assert store.entry(record.id) == entry
    assert list(store.entry(record.id)) == list(entry)  # a record's hash may be taken over its text


def test_records_are_there_after_opening_again(url):
    store = Store.open(url)
    added = store.add(varied_records(7))
    store.close()
    again = Store.open(url)
    assert [again.get(record.id) for record in added] == added
    again.close()


@pytest.mark.parametrize("id", [0, 2, -1, 2**31, 2**63, 2**200, -(2**200)])
def test_an_id_of_nothing(store, id):
    store.add([new_record()])
    assert store.get(id) is None
    assert store.decisions.get(id) is None
    assert store.edits.get(id) is None
    calls = [
        lambda: store.entry(id),
        lambda: store.details(id),
        lambda: store.decisions.add(id, "defect", "", "ada"),
        lambda: store.decisions.undo(id, "ada"),
        lambda: store.edits.undo(id, "ada", 3),
    ]
    for call in calls:
        with pytest.raises(NotFoundError, match=f"{id}$"):
            call()
    assert store.audit().events == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"image_score": float("nan")},
        {"p_value": float("inf")},
        {"time": datetime(2026, 3, 1)},
        {"time": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))},
        {"entry": {"score": float("nan")}},
        {"entry": {"image": object()}},
        {"neighbours": (Neighbour(1, "n", "d" * 64, float("-inf")),)},
    ],
)
def test_what_cannot_be_read_again_is_refused_and_its_companions_with_it(store, changes):
    with pytest.raises(InputError):
        store.add([new_record(), new_record(**changes)])
    assert store.count(Filters()) == 0


def test_a_record_that_cannot_be_written_fails_only_its_own_call(store):
    outcomes, ready = [None] * 8, threading.Barrier(8)

    def add(number):
        score = float("nan") if number % 2 else 0.5
        ready.wait()
        try:
            outcomes[number] = len(store.add([new_record(image_score=score)]))
        except InputError:
            outcomes[number] = "refused"

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == [1, "refused"] * 4
    assert store.count(Filters()) == 4


def worst(record):
    return record.verdict == "normal", record.p_value, -record.image_score, -record.id


def newest(record):
    return -record.time.timestamp(), -record.id


def fits(record, filters):
    return (
        filters.bank in (None, record.bank)
        and filters.verdict in (None, record.verdict)
        and (filters.since is None or record.time >= filters.since)
        and (filters.until is None or record.time < filters.until)
        and (filters.reviewed is None or filters.reviewed == (record.decision is not None))
        and (filters.kind is None or (record.decision is not None and record.decision.kind == filters.kind))
        and (filters.name is None or filters.name.casefold() in record.name.casefold())
    )


def walk(store, filters, order, limit):
    after, records = None, []
    while True:
        page = store.page(filters, order, after, limit)
        assert len(page.records) == limit or page.next is None
        records.extend(page.records)
        if page.next is None:
            return records
        after = page.next


def test_every_filter_in_every_order_is_what_a_list_would_give(store):
    added = store.add(varied_records(60))
    for record in added[::3]:
        store.decisions.add(record.id, ["defect", "false_alarm", "unsure"][record.id % 3], "", "ada")
    records = [store.get(record.id) for record in added]
    middle = BEGINNING + timedelta(hours=10)
    choices = {
        "bank": [None, "tiles", "none"],
        "verdict": [None, "anomalous"],
        "since": [None, middle],
        "until": [middle + timedelta(hours=5)],
        "reviewed": [None, True, False],
        "kind": [None, "defect"],
        "name": [None, "LÍNEA_a%", "_SS/", "\\"],
    }
    for number, values in enumerate(itertools.product(*choices.values())):
        filters = Filters(**dict(zip(choices, values, strict=True)))
        expected = [record for record in records if fits(record, filters)]
        assert store.count(filters) == len(expected)
        order, key = [("newest", newest), ("worst", worst)][number % 2]
        assert list(store.page(filters, order, None, 100).records) == sorted(expected, key=key)


@pytest.mark.parametrize(("order", "key"), [("newest", newest), ("worst", worst)])
@pytest.mark.parametrize("limit", [1, 7, 60])
def test_from_page_to_page_every_record_comes_once(store, order, key, limit):
    added = store.add(varied_records(60))
    assert walk(store, Filters(), order, limit) == sorted(added, key=key)
    assert walk(store, Filters(bank="tiles"), order, limit) == sorted([r for r in added if r.bank == "tiles"], key=key)


@pytest.mark.parametrize("order", ["newest", "worst"])
def test_pages_while_records_arrive_and_go(store, order):
    there = {record.id for record in store.add(varied_records(40))}
    after, seen = None, []
    for turn in range(20):
        page = store.page(Filters(), order, after, 5)
        seen.extend(record.id for record in page.records)
        after = page.next
        if after is None:
            break
        store.add(varied_records(3, seed=turn + 1))
    else:
        # Records that arrive beyond the place are seen as well, so the walk may go on as long as they do.
        seen.extend(record.id for record in walk_from(store, order, after))
    assert len(seen) == len(set(seen))
    assert there <= set(seen)


def walk_from(store, order, after):
    while after is not None:
        page = store.page(Filters(), order, after, 50)
        yield from page.records
        after = page.next


@pytest.mark.parametrize(
    "after",
    ["", "x", "é", "=" * 9, "W10", "bnVsbA", "WyJuZXdlc3QiLCAxLCAyLCAzXQ", "WyJuZXdlc3QiLCB0cnVlLCAyXQ", "A" * 10_000,
     "WyJuZXdlc3QiLCA5OTk5OTk5OTk5OTk5OTk5OTksIDJd", "WyJuZXdlc3QiLCAxZTk5OSwgMl0", "WyJ3b3JzdCIsIDEsIDIsIDMsIDRd"],
)  # fmt: skip
def test_a_cursor_that_is_none_is_refused(store, after):
    for order in ("newest", "worst"):
        with pytest.raises(InputError, match="not a valid cursor"):
            store.page(Filters(), order, after, 10)
    with pytest.raises(InputError, match="not a valid cursor"):
        store.audit(after)


def test_a_cursor_of_another_order_is_refused(store):
    store.add(varied_records(10))
    after = store.page(Filters(), "worst", None, 5).next
    with pytest.raises(InputError, match="not a valid cursor"):
        store.page(Filters(), "newest", after, 5)


@pytest.mark.parametrize("limit", [0, -1, 1001])
def test_a_limit_that_is_none_is_refused(store, limit):
    calls = [
        lambda: store.page(Filters(), "newest", None, limit),
        lambda: store.latest("screws", limit),
        lambda: store.edits.latest("screws", limit),
        lambda: store.audit(None, limit),
    ]
    for call in calls:
        with pytest.raises(InputError, match="limit"):
            call()


def test_filters_that_nothing_can_meet_find_nothing_and_harm_nothing(store):
    store.add(varied_records(10))
    nothing = [
        Filters(bank="\0"),
        Filters(bank="\ud800"),
        Filters(bank="'; DROP TABLE inspections; --"),
        Filters(name="%"*3),
        Filters(name="\0"),
        Filters(verdict="\0"),
        Filters(kind="\0"),
        Filters(bank="b" * 100_000),
    ]  # fmt: skip
    for filters in nothing:
        assert store.count(filters) == 0
        assert store.page(filters, "worst", None, 5).records == ()
    assert store.count(Filters()) == 10
    with pytest.raises(InputError, match="at most 1000"):
        store.count(Filters(name="n" * 100_000))
    with pytest.raises(InputError, match="zone"):
        store.count(Filters(since=datetime(2026, 1, 1)))
    with pytest.raises(InputError, match="newest or worst"):
        store.page(Filters(), "oldest", None, 5)


def test_latest_and_scores_over_time(store):
    added = store.add(varied_records(60))
    tiles = sorted((record for record in added if record.bank == "tiles"), key=newest)
    assert store.latest("tiles", 5) == tiles[:5]
    points = store.scores_over_time("tiles")
    assert [(point.id, point.time, point.retrieval_score, point.image_score, point.verdict) for point in points] == [
        (record.id, record.time, record.retrieval_score, record.image_score, record.verdict) for record in tiles[::-1]
    ]
    assert store.scores_over_time("tiles", limit=4) == points[-4:]
    begin, end = BEGINNING + timedelta(hours=5), BEGINNING + timedelta(hours=12)
    assert store.scores_over_time("tiles", begin, end) == [point for point in points if begin <= point.time < end]


def test_usage_counts_neighbours_of_that_bank_alone(store):
    def near(*ids):
        return tuple(Neighbour(id, "n", "d" * 64, 0.5) for id in ids)

    store.add(
        [
            new_record(neighbours=near(1, 2)),
            new_record(neighbours=near(2, 3)),
            new_record(neighbours=near(2)),
            new_record(neighbours=()),
        ]
    )
    store.add([new_record(bank="tiles", neighbours=near(1))])
    assert store.usage("screws") == {1: 1, 2: 3, 3: 1}
    assert store.usage("none") == {}


def test_entries_of_several_are_those_of_each_and_of_no_other(store):
    ids = [record.id for record in store.add([new_record(entry={"number": number}) for number in range(5)])]
    query = [ids[3], ids[0], 2**62]
    assert store.entries(query) == {id: store.entry(id) for id in query[:2]}
    assert store.entries([]) == {}


def test_the_oldest_are_pruned_first_a_thousand_at_once(store):
    added = store.add([new_record(time=BEGINNING + timedelta(seconds=n)) for n in range(1203)])
    assert store.prune(added[1201].time) == 1000
    assert store.get(added[999].id) is None
    assert store.get(added[1000].id)
    assert [store.prune(added[1201].time) for _ in range(2)] == [201, 0]
    assert [record.id for record in store.latest("screws", 9)] == [added[1202].id, added[1201].id]


def test_pruned_records_are_gone_with_what_hangs_on_them_and_no_id_is_used_again(store):
    added = store.add(varied_records(40))
    limit = BEGINNING + timedelta(hours=6)
    old = [record for record in added if record.time < limit]
    decision = store.decisions.add(old[0].id, "defect", "", "ada")
    log = store.audit()
    assert store.prune(limit) == len(old) > 0
    assert store.count(Filters()) == len(added) - len(old)
    assert store.count(Filters(until=limit)) == 0
    assert store.get(old[0].id) is None
    assert store.decisions.get(decision.id) is None
    with pytest.raises(NotFoundError):
        store.details(old[0].id)
    assert store.prune(limit) == 0
    forgotten, *others = store.audit().events
    assert tuple(others) == log.events  # the audit log stays
    assert (forgotten.who, forgotten.action) == ("service", "forget")
    assert forgotten.details == {"records": len(old), "from before": "2026-03-01T18:00:00+00:00"}
    store.prune(BEGINNING + timedelta(days=999))
    (record,) = store.add([new_record()])
    assert record.id > max(record.id for record in added)


def test_adding_nothing_is_nothing(store):
    assert store.add([]) == []
    store.ping()


def test_a_store_is_used_from_many_threads_at_once(store):
    """Writes, reads and decisions at the same time: nothing fails, nothing is lost or doubled."""
    failures, added = [], []

    def work(number):
        try:
            for turn in range(6):
                records = store.add([new_record(name=f"{number}/{turn}/{part}") for part in range(1 + turn % 3)])
                added.extend(records)
                store.decisions.add(records[0].id, "unsure", "", f"{number}")
                assert store.get(records[-1].id) == records[-1] or len(records) == 1
                store.page(Filters(), "worst", None, 20)
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(added) == 8 * 12
    assert len({record.id for record in added}) == len(added)
    assert {record.id: record.name for record in walk(store, Filters(), "newest", 50)} == {
        record.id: record.name for record in added
    }
    assert store.count(Filters(reviewed=True)) == 8 * 6
