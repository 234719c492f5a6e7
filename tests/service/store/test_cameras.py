"""Pauses of cameras in both databases, and which inspections are a camera's."""

from dataclasses import replace

from tests.service.store.new_records import new_record


def test_the_last_word_counts_and_what_is_said_twice_is_written_once(store):
    cameras = store.cameras
    assert cameras.pause_of("top") is None
    for paused, who in ((True, "ann"), (True, "bob"), (False, "bob"), (False, "ann"), (True, "eve")):
        pause = cameras.set_paused("top", paused, who)
        assert (pause is not None) == paused
        assert cameras.pause_of("top") == pause
    assert pause.who == "eve"
    assert cameras.pause_of("to") is None
    assert cameras.pause_of('top"') is None
    rows = [(event.who, event.action, event.details) for event in store.audit().events]
    top = {"camera": "top"}
    assert rows == [("eve", "pause camera", top), ("bob", "resume camera", top), ("ann", "pause camera", top)]


def test_inspections_of_a_camera_are_those_of_its_name_and_bank(store):
    def add(name, source="camera", bank="screws"):
        return store.add([replace(new_record(), name=name, source=source, bank=bank)])[0].id

    first = add("camera top@2026-11-30T10:00:00.000Z")
    add("camera desktop@2026-11-30T10:00:00.000Z")
    add("camera top2@2026-11-30T10:00:00.000Z")
    add("camera top@2026-11-30T10:00:00.000Z", source="upload")
    add("camera top@2026-11-30T10:00:00.000Z", bank="nuts")
    second = add("camera top@2026-11-30T10:00:01.000Z")
    assert [record.id for record in store.cameras.latest("top", "screws", 10)] == [first, second]
    assert [record.id for record in store.cameras.latest("top", "screws", 1)] == [second]
