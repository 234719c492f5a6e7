"""Decisions, edits, rates, watched files and the audit log: nothing is lost or doubled, everything is logged."""

import threading
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anomalign.errors import ConflictError, InputError
from anomalign.service.store import Filters, Store, Watched
from tests.service.store.new_records import BEGINNING, new_record

KINDS = ["defect", "false_alarm", "unsure"]


def audit_rows(store, action=None):
    """Return the audit log, oldest first, without ids and times."""
    events = store.audit(None, 1000, action).events[::-1]
    return [(event.who, event.action, event.bank, event.record, event.details) for event in events]


def run_at_once(count, work):
    """Return the results and errors of `work(number)`, run in `count` threads."""
    results, ready = [None] * count, threading.Barrier(count)

    def run(number):
        ready.wait()
        try:
            results[number] = work(number)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_decision_counts_until_another_is_made_or_it_is_undone(store):
    first, other = store.add([new_record(), new_record()])
    start = datetime.now(timezone.utc)
    unsure = store.decisions.add(first.id, "unsure", "a scratch?\0", "ada")
    defect = store.decisions.add(first.id, "defect", "", "bob")
    assert start <= unsure.time <= defect.time <= datetime.now(timezone.utc)
    assert (unsure.record, unsure.kind, unsure.note, unsure.who) == (first.id, "unsure", "a scratch?\ufffd", "ada")
    assert store.get(first.id).decision == defect
    assert store.get(other.id).decision is None
    assert store.decisions.get(unsure.id) == unsure
    store.decisions.undo(defect.id, "cyd")
    assert store.get(first.id).decision == unsure
    store.decisions.undo(unsure.id, "ada")
    assert store.get(first.id).decision is None
    assert store.decisions.get(unsure.id) == unsure
    assert audit_rows(store) == [
        ("ada", "decide", "screws", first.id, {"decision": unsure.id, "kind": "unsure", "note": "a scratch?\ufffd"}),
        ("bob", "decide", "screws", first.id, {"decision": defect.id, "kind": "defect", "note": ""}),
        ("cyd", "undo decision", "screws", first.id, {"decision": defect.id, "kind": "defect"}),
        ("ada", "undo decision", "screws", first.id, {"decision": unsure.id, "kind": "unsure"}),
    ]


def test_what_cannot_be_done_leaves_no_trace_in_the_log(store):
    (record,) = store.add([new_record()])
    decision = store.decisions.add(record.id, "defect", "", "ada")
    edit = store.edits.add("screws", 4, "add", images=[9], who="ada")
    store.decisions.undo(decision.id, "ada")
    store.edits.undo(edit.id, "ada", 3)
    before = store.audit()
    with pytest.raises(ConflictError, match=f"decision {decision.id} is undone already"):
        store.decisions.undo(decision.id, "ada")
    with pytest.raises(ConflictError, match=f"edit {edit.id} is undone already"):
        store.edits.undo(edit.id, "ada", 3)
    with pytest.raises(InputError, match="one of defect, false_alarm, unsure"):
        store.decisions.add(record.id, "fine", "", "ada")
    with pytest.raises(InputError, match="one of add, remove, rate"):
        store.edits.add("screws", 5, "shuffle", images=[], who="ada")
    for value in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(InputError, match="between 0 and 1"):
            store.rates.set("screws", value, "ada")
    assert store.audit() == before


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["decide", "undo"]), st.integers(0, 20)), max_size=12))
def test_the_latest_decision_not_undone_counts_after_any_course(store, course):
    records = store.add([new_record(), new_record()])
    made = []  # (decision, standing)
    for what, number in course:
        if what == "decide":
            made.append([store.decisions.add(records[number % 2].id, KINDS[number % 3], "", "ada"), True])
        elif made and made[number % len(made)][1]:
            entry = made[number % len(made)]
            entry[1] = False
            store.decisions.undo(entry[0].id, "ada")
    for record in records:
        standing = [decision for decision, stands in made if stands and decision.record == record.id]
        assert store.get(record.id).decision == (standing[-1] if standing else None)


def test_of_many_who_decide_at_once_none_is_lost_and_the_last_counts(store):
    (record,) = store.add([new_record()])
    made = run_at_once(
        8, lambda number: store.decisions.add(record.id, KINDS[number % 3], f"note {number}", f"person {number}")
    )
    assert store.get(record.id).decision == max(made, key=lambda decision: decision.id)
    assert sorted(who for who, *_ in audit_rows(store, "decide")) == [f"person {number}" for number in range(8)]
    assert [store.decisions.get(decision.id) for decision in made] == made
    results = run_at_once(8, lambda number: store.decisions.undo(made[number % 4].id, "ada"))
    assert sum(isinstance(result, ConflictError) for result in results) == 4
    assert results.count(None) == 4
    assert store.get(record.id).decision == max(made[4:], key=lambda decision: decision.id)


def test_edits_are_read_again_and_undone_once(store):
    values = {"images": [3, 2**40], "record": 12, "note": "ölig\0", "before": {"a": 0.1}, "after": {"a": None}}
    edit = store.edits.add("screws", 4, "add", who="ada", **values)
    bare = store.edits.add("screws", 5, "remove", images=[], who="bob")
    rate = store.edits.add(
        "tiles", 2, "rate", images=[], who="bob", before={"target_fpr": 0.01}, after={"target_fpr": 0.1}
    )
    assert (edit.images, edit.record, edit.note, edit.before, edit.after) == (
        [3, 2**40],
        12,
        "ölig\ufffd",
        {"a": 0.1},
        {"a": None},
    )
    assert [(e.undone, e.version) for e in (edit, bare, rate)] == [(False, 4), (False, 5), (False, 2)]
    assert store.edits.latest("screws") == [bare, edit]
    assert store.edits.latest("screws", 1) == [bare]
    assert store.edits.get(rate.id) == rate
    undone_edit = store.edits.undo(edit.id, "cyd", 9)
    assert (undone_edit.undone, undone_edit.undone_by, edit.undone_by) == (True, "cyd", None)
    assert undone_edit.undone_at >= edit.time
    assert undone_edit.undone_version == 9
    assert store.edits.get(edit.id) == undone_edit
    assert [(who, action, bank) for who, action, bank, *_ in audit_rows(store)] == [
        ("ada", "edit", "screws"),
        ("bob", "edit", "screws"),
        ("bob", "edit", "tiles"),
        ("cyd", "undo edit", "screws"),
    ]
    results = run_at_once(6, lambda number: store.edits.undo(rate.id, "ada", 9))
    assert sum(isinstance(result, ConflictError) for result in results) == 5


def test_the_rate_of_a_bank(store):
    assert store.rates.get("screws") is None
    store.rates.set("screws", 0.01, "ada")
    store.rates.set("tiles", 0.2, "ada")
    store.rates.set("screws", 0.001, "bob")
    assert (store.rates.get("screws"), store.rates.get("tiles")) == (0.001, 0.2)
    store.rates.set("screws", None, "cyd")
    assert store.rates.get("screws") is None
    assert [(who, details) for who, _, bank, _, details in audit_rows(store, "rate") if bank == "screws"] == [
        ("ada", {"before": None, "after": 0.01}),
        ("bob", {"before": 0.01, "after": 0.001}),
        ("cyd", {"before": 0.001, "after": None}),
    ]
    assert run_at_once(6, lambda number: store.rates.set("new", 0.1 + number / 10, "ada")) == [None] * 6
    assert store.rates.get("new") == audit_rows(store, "rate")[-1][4]["after"]


def test_the_audit_log_from_page_to_page(store):
    written = [store.log("ada", "login" if turn % 2 else "refused", details={"turn": turn}) for turn in range(11)]
    assert written[0].bank is None
    page, found = store.audit(None, 3), []
    while True:
        found.extend(page.events)
        if page.next is None:
            break
        store.log("bob", "login")  # what is written meanwhile lies before
        page = store.audit(page.next, 3)
    assert found == written[::-1]
    assert all(event.action == "refused" for event in store.audit(None, 100, "refused").events)
    assert store.audit(None, 100, "\0").events == ()


@pytest.mark.parametrize(
    "path",
    ["/line/1.png", "/line/\udcff\udc00.png", "/line/" + "long/" * 800 + "1.png", "/line/a\\udcff.png", "/line/ü.png"],
)
def test_a_watched_file_is_recorded_once(store, path):
    file = Watched(path, 1234, 1_777_000_000_123_456_789)
    assert not store.is_watched(path, file.size, file.mtime_ns)
    first, plain = store.add([new_record(watched=file, source="watch"), new_record()])
    assert store.is_watched(path, file.size, file.mtime_ns)
    for other in (
        (path + "x", file.size, file.mtime_ns),
        (path, 1, file.mtime_ns),
        (path, file.size, file.mtime_ns + 1),
    ):
        assert not store.is_watched(*other)
    again, another = store.add([new_record(watched=file), new_record(watched=Watched(path, 1, file.mtime_ns))])
    assert again == first
    assert len({first.id, plain.id, another.id}) == 3
    assert store.count(Filters()) == 3


def test_undecodable_names_are_told_apart(store):
    """Two names with the same text in the database are two files."""
    store.add([new_record(watched=Watched("/line/\udcff.png", 1, 1))])
    assert not store.is_watched("/line/\\udcff.png", 1, 1)


def test_a_file_twice_in_one_call_has_one_record(store):
    file = Watched("/line/1.png", 1, 1)
    first, second = store.add([new_record(watched=file), new_record(watched=file)])
    assert first == second
    assert store.count(Filters()) == 1


def test_two_who_watch_one_folder_record_each_file_once(url):
    """They submit in opposite orders, through their own connections."""
    stores = [Store.open(url) for _ in range(4)]
    files = [Watched(f"/line/{number}.png", 1, 1) for number in range(6)]

    def work(number):
        order = files if number % 2 else files[::-1]
        return {
            record.name: record.id
            for half in (order[:3], order[3:])
            for record in stores[number].add([new_record(name=file.path, watched=file) for file in half])
        }

    results = run_at_once(4, work)
    assert all(result == results[0] for result in results)
    assert stores[0].count(Filters()) == 6
    for store in stores:
        store.close()


def test_a_file_stays_known_when_its_record_is_pruned(store):
    file = Watched("/line/1.png", 1, 1)
    store.add([new_record(watched=file)])
    store.prune(BEGINNING + timedelta(days=1))
    assert store.count(Filters()) == 0
    assert store.is_watched(file.path, file.size, file.mtime_ns)


def test_a_file_that_is_no_image_is_told_of_once(store):
    file = Watched("/line/\udcff.png", 1, 1)
    for _ in range(2):
        store.pass_over(file, "screws", "no image\0")
    assert store.is_watched(file.path, file.size, file.mtime_ns)
    assert audit_rows(store) == [
        ("watch", "passed over", "screws", None, {"path": "/line/\\udcff.png", "error": "no image\ufffd"})
    ]
    (record,) = store.add([new_record(watched=file)])  # whoever asks for it all the same has a record
    assert store.add([new_record(watched=file)]) == [record]
