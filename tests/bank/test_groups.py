"""Groups of normal images: kept with the images, in versions, and part of what the bank is."""

import contextlib
import hashlib
import random
import shutil
import sqlite3
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from anomalign import Bank, BankError, Framing, InputError
from anomalign.bank import catalogue
from anomalign.images.sources import Encoded
from tests.bank.test_crash import start, whole
from tests.bank.test_history import tables
from tests.pictures import save, texture

PICTURES = [texture(seed) for seed in range(8)]


def groups(bank):
    return [image.group for image in bank.images]


def contents(bank):
    """All that a bank shows of its images but for ids and where they lie."""
    vectors = bank.vectors("pooled")
    return [
        bank.content,
        [(i.name, i.sha256, i.group, i.taken, v.tobytes()) for i, v in zip(bank.images, vectors, strict=True)],
    ]


def tampered(bank, change):
    with contextlib.closing(sqlite3.connect(bank.path / catalogue.FILE)) as connection:
        connection.executescript(change)
    return bank.path / catalogue.FILE


def photograph(path, seed, taken, fraction=None):
    """Write a JPEG that says when it was taken."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = taken
    if fraction is not None:
        exif.get_ifd(0x8769)[0x9291] = fraction
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(texture(seed)).save(path, exif=exif)
    return path


# --- adding


def test_one_group_for_all(empty_bank):
    empty_bank.add(PICTURES[:3], groups="batch 7")
    empty_bank.add(PICTURES[3])
    assert groups(empty_bank) == ["batch 7", "batch 7", "batch 7", ""]
    assert groups(Bank.open(empty_bank.path, empty_bank.backbone)) == groups(empty_bank)


def test_a_group_for_each_image_also_when_some_cannot_be_used(tmp_path, empty_bank):
    paths = save(tmp_path / "part", 4)
    paths[1].write_bytes(b"no image")
    report = empty_bank.add(
        [*map(str, paths), PICTURES[5], Encoded("sent.png", paths[0].read_bytes())], groups=[*"abcd", "e", "f"]
    )
    assert [(image.name, image.group) for image in empty_bank.images] == [
        (str(paths[0]), "a"),
        (str(paths[2]), "c"),
        (str(paths[3]), "d"),
        ("array 4", "e"),
    ]
    assert (report.added, len(report.known), len(report.failures), report.regrouped) == (4, 1, 1, 0)


def test_a_function_of_the_name_that_the_bank_shows(tmp_path, empty_bank):
    save(tmp_path / "part", 3)
    empty_bank.add([tmp_path / "part", PICTURES[6]], groups=lambda name: name[-8:])
    assert groups(empty_bank) == [image.name[-8:] for image in empty_bank.images]
    assert groups(empty_bank)[0] == "/000.png"


def test_groups_one_by_one_need_one_image_each(tmp_path, empty_bank):
    paths = save(tmp_path / "part", 2)
    for images, names in (
        ([tmp_path / "part"], ["a"]),
        ([tmp_path / "part"], ["a", "b"]),
        ([str(tmp_path / "part" / "00[0].png")], ["a"]),
        (paths, ["a"]),
        (paths, ["a", "b", "c"]),
        (paths, []),
    ):
        with pytest.raises(InputError, match="one by one|give one for each"):
            empty_bank.add(images, groups=names)
    paths[1].unlink()
    with pytest.raises(InputError, match="one by one"):  # a folder, though it holds one image
        empty_bank.add(tmp_path / "part", groups=["a"])
    assert (len(empty_bank), empty_bank.version) == (0, 0)


@pytest.mark.parametrize("name", [" a", "a ", "a\nb", "a\0", "x" * 201, "\ud800", 3, None, b"a"])
def test_what_cannot_be_a_name_is_refused_and_nothing_changes(empty_bank, name):
    empty_bank.add(PICTURES[0], groups="x" * 200)
    for attempt in (
        lambda: empty_bank.add(PICTURES[:2], groups=["ok", name]),
        lambda: empty_bank.add(PICTURES[:2], groups=lambda _: name),
        lambda: empty_bank.group(1, [name]),
    ):
        with pytest.raises(InputError, match="group"):
            attempt()
    assert (groups(empty_bank), empty_bank.version) == (["x" * 200], 1)


def test_adding_again_names_the_groups_of_images_that_are_there(empty_bank):
    empty_bank.add(PICTURES[:3])
    empty_bank.add(PICTURES[3], groups="b")
    report = empty_bank.add(PICTURES[:5], groups=["a", "", "a", "b", "b"])
    assert (report.added, len(report.known), report.regrouped) == (1, 4, 2)
    assert groups(empty_bank) == ["a", "", "a", "b", "b"]
    version = empty_bank.version
    assert empty_bank.add(PICTURES[:5], groups=["a", "", "a", "b", "b"]).regrouped == 0
    assert empty_bank.add(PICTURES[:5]).regrouped == 0
    assert empty_bank.version == version
    assert empty_bank.add(PICTURES[:2], groups="").regrouped == 1
    assert groups(empty_bank) == ["", "", "a", "b", "b"]


def test_of_copies_given_together_the_first_counts(empty_bank):
    empty_bank.add([PICTURES[0], PICTURES[0]], groups=["a", "b"])
    assert groups(empty_bank) == ["a"]
    assert empty_bank.add([PICTURES[0], PICTURES[0]], groups=["a", "b"]).regrouped == 0
    assert empty_bank.add([PICTURES[0], PICTURES[0]], groups=["b", "a"]).regrouped == 1
    assert groups(empty_bank) == ["b"]


def test_an_addition_that_also_regroups_is_one_edit(empty_bank):
    empty_bank.add(PICTURES[:2])
    empty_bank.add(PICTURES[:6], groups="a", segment_bytes=1)
    last = empty_bank.history()[-1]
    assert (last.first, last.version, last.added, last.removed, last.regrouped) == (2, 5, 4, 0, 2)
    assert groups(Bank.open(empty_bank.path, empty_bank.backbone, 1)) == ["", ""]


def test_an_interrupted_addition_keeps_the_groups_of_what_it_has_reported(empty_bank):
    empty_bank.add(PICTURES[:2])

    def interrupt(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        empty_bank.add(PICTURES, groups="a", progress=interrupt)
    assert groups(empty_bank) == ["a"] * 4
    assert empty_bank.add(PICTURES, groups="a").regrouped == 0


# --- editing and versions


def test_regrouping_is_one_version_and_older_ones_show_the_old_groups(empty_bank):
    empty_bank.add(PICTURES[:4], groups="a")
    changed = empty_bank.group([1, 3], "b")
    assert [(image.id, image.group) for image in changed] == [(1, "b"), (3, "b")]
    empty_bank.group([2, 3, 4], ["", "c", "a"])
    assert groups(empty_bank) == ["b", "", "c", "a"]
    assert [(v.version, v.added, v.regrouped) for v in empty_bank.history()] == [(1, 4, 0), (2, 0, 2), (3, 0, 2)]
    shown = [groups(Bank.open(empty_bank.path, empty_bank.backbone, version)) for version in (1, 2, 3)]
    assert shown == [["a"] * 4, ["b", "a", "b", "a"], ["b", "", "c", "a"]]
    assert empty_bank.verify() == []


def test_a_group_that_an_image_has_already_makes_no_version(empty_bank):
    empty_bank.add(PICTURES[:2], groups="a")
    assert [image.id for image in empty_bank.group([1, 2], "a")] == [1, 2]
    assert empty_bank.group([], "b") == ()
    assert empty_bank.version == 1


def test_regrouping_is_all_or_nothing(empty_bank):
    empty_bank.add(PICTURES[:2], groups="a")
    for selectors, name in (([1, 9], "b"), ([1, 2], ["b"]), ([1, 2], ["b", " "]), ("x*", "b")):
        with pytest.raises(InputError):
            empty_bank.group(selectors, name)
    with pytest.raises(BankError, match="open it as it is to change it"):
        empty_bank.without(1).group(2, "b")
    assert (groups(empty_bank), empty_bank.version) == (["a", "a"], 1)


def test_another_reader_notices_new_groups(empty_bank):
    empty_bank.add(PICTURES[:2])
    reader = Bank.open(empty_bank.path, empty_bank.backbone)
    empty_bank.group(1, "a")
    assert not reader.is_current()
    assert groups(reader) == ["", ""]


def test_a_removed_image_comes_back_in_its_group(empty_bank):
    empty_bank.add(PICTURES[:3], groups=["a", "b", "c"])
    empty_bank.remove(2)
    empty_bank.group([1, 3], "d")
    empty_bank.restore([2])
    assert groups(empty_bank) == ["d", "b", "d"]
    empty_bank.remove(2)
    empty_bank.add(PICTURES[1])  # a new image, of which no group was said
    assert groups(empty_bank) == ["d", "d", ""]


def test_compacting_keeps_the_groups_and_forgets_those_of_older_versions(empty_bank):
    empty_bank.add(PICTURES[:4], groups="a")
    empty_bank.group([1, 2, 3], "b")
    empty_bank.group([2], "")
    empty_bank.remove(3)
    before = contents(empty_bank)
    empty_bank.compact()
    assert contents(Bank.open(empty_bank.path, empty_bank.backbone)) == contents(empty_bank) == before
    assert empty_bank.verify() == []
    with catalogue.connect(empty_bank.path) as connection:
        rows = connection.execute("SELECT image, name FROM groups ORDER BY image").fetchall()
    assert rows == [(1, "b"), (2, ""), (4, "a")]
    with pytest.raises(BankError, match="version 1 was compacted away"):
        Bank.open(empty_bank.path, empty_bank.backbone, 1)


def test_compacting_a_bank_without_removed_images_leaves_its_versions(empty_bank):
    empty_bank.add(PICTURES[:2], groups="a")
    empty_bank.group(1, "b")
    empty_bank.compact()
    assert groups(Bank.open(empty_bank.path, empty_bank.backbone, 1)) == ["a", "a"]


def test_a_draft_has_the_groups_and_leaves_those_of_the_bank_alone(tmp_path, empty_bank):
    empty_bank.add(PICTURES[:3], groups=["a", "a", ""])
    draft = empty_bank.draft(tmp_path / "draft")
    assert contents(draft) == contents(empty_bank)
    draft.group(3, "b")
    assert (groups(draft), groups(empty_bank)) == (["a", "a", "b"], ["a", "a", ""])


# --- what a bank is


def test_the_content_hash_tells_groups_and_is_as_ever_without(empty_bank, tiny_backbone):
    empty_bank.add(PICTURES[:3])
    plain = empty_bank.content
    reading = '{"bits": null, "profiles": true}'
    parts = [tiny_backbone.sha256, '{"resize_px": null, "size_px": 64}', reading]
    parts += [image.sha256 for image in empty_bank.images]
    assert plain == hashlib.sha256("\n".join(parts).encode()).hexdigest()  # as before there were groups
    empty_bank.group([1, 2], "a")
    grouped = empty_bank.content
    empty_bank.group([2, 3], ["", "a"])
    assert len({plain, grouped, empty_bank.content}) == 3
    empty_bank.group([1, 3], "")
    assert empty_bank.content == plain
    assert Bank.open(empty_bank.path, tiny_backbone, 2).content == grouped


def test_a_bank_without_groups_and_times_has_the_tables_that_it_had(empty_bank):
    empty_bank.add(PICTURES[:2])
    empty_bank.add(PICTURES[:2], groups="")
    assert not {"groups", "exposures"} & tables(empty_bank.path)
    empty_bank.group(1, "a")
    assert {"groups", "exposures"} & tables(empty_bank.path) == {"groups"}


def test_a_bank_of_an_earlier_version_gets_its_tables_when_it_needs_them(empty_bank):
    """Its tables are those of a bank in which nothing was grouped, as the test above shows."""
    empty_bank.add(PICTURES[:3])
    empty_bank.remove(3)
    old = Bank.open(empty_bank.path, empty_bank.backbone)
    assert (groups(old), [image.taken for image in old.images]) == (["", ""], ["", ""])
    assert (old.verify(), [v.regrouped for v in old.history()]) == ([], [0, 0])
    old.compact()
    assert old.add(PICTURES[:2], groups="a").regrouped == 2
    assert groups(old) == ["a", "a"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE groups SET name = ' a' WHERE image = 1", "group of image 1 cannot be the name"),
        ("UPDATE groups SET name = x'ff' WHERE image = 2", "group of image 2 cannot be the name"),
        ("UPDATE groups SET since = 1 WHERE image = 3", "group of image 3 is older than the image"),
        ("UPDATE groups SET image = 9 WHERE image = 3", "a row of groups names one that is not there"),
        ("INSERT INTO exposures VALUES (7, '2026-11-28T10:00:05')", "a row of exposures names one that is not there"),
        ("INSERT INTO exposures VALUES (1, '2026-13-28T10:00:05')", "time of exposure of image 1 is not a time"),
        ("INSERT INTO exposures VALUES (1, 'noon')", "time of exposure of image 1 is not a time"),
    ],
)
def test_verify_checks_groups_and_times(tmp_path, empty_bank, change, problem):
    empty_bank.add(PICTURES[:2], groups="a")
    empty_bank.add([PICTURES[2], photograph(tmp_path / "a.jpg", 5, "2026:11:28 10:00:05")], groups="b")
    assert empty_bank.verify() == []
    file = tampered(empty_bank, change)
    (found,) = empty_bank.verify()
    assert found.startswith(f"{file}: ")
    assert problem in found


# --- times of exposure


def test_times_of_exposure_are_kept(tmp_path, empty_bank):
    photograph(tmp_path / "p" / "0.jpg", 0, "2026:11:28 10:00:05")
    photograph(tmp_path / "p" / "1.jpg", 1, "2026:11:28 10:00:06", "250")
    Image.fromarray(texture(2)).save(tmp_path / "p" / "2.jpg")
    empty_bank.add([tmp_path / "p", PICTURES[3]])
    times = ["2026-11-28T10:00:05", "2026-11-28T10:00:06.250", "", ""]
    assert [image.taken for image in empty_bank.images] == times
    empty_bank.remove(1)
    empty_bank.compact()
    assert [image.taken for image in Bank.open(empty_bank.path, empty_bank.backbone).images] == times[1:]
    assert empty_bank.verify() == []


def test_times_are_no_part_of_the_content(tmp_path, empty_bank):
    """They change nothing that the bank decides."""
    empty_bank.add(photograph(tmp_path / "a.jpg", 0, "2026:11:28 10:00:05"))
    before = empty_bank.content
    tampered(empty_bank, "DROP TABLE exposures")
    assert Bank.open(empty_bank.path, empty_bank.backbone).content == before


# --- any sequence, and kills

NAMES = st.sampled_from(["", "a", "b", "a part"])
SEEDS = st.sets(st.integers(0, 7), min_size=1, max_size=5)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), SEEDS, st.none() | NAMES),
        st.tuples(st.just("group"), SEEDS, NAMES),
        st.tuples(st.sampled_from(["remove", "restore"]), SEEDS, st.none()),
        st.tuples(st.sampled_from(["compact", "reopen"]), st.just(set()), st.none()),
    ),
    min_size=1,
    max_size=10,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EDITS)
def test_any_sequence_of_edits_equals_building_anew(tmp_path_factory, tiny_backbone, edits):
    """The oracle holds (id, seed, group) of each image, and each version as it was shown."""
    folder = tmp_path_factory.mktemp("edits")
    bank = Bank.create(folder / "edited", tiny_backbone, Framing(64))
    held, gone, shown = {}, {}, {0: []}
    for what, seeds, name in edits:
        ids = {seed: id for id, (seed, _) in held.items()}
        chosen = [ids[seed] for seed in sorted(seeds) if seed in ids]
        if what == "add":
            bank.add([PICTURES[seed] for seed in sorted(seeds)], groups=name)
            held |= {id: (held[id][0], held[id][1] if name is None else name) for id in chosen}
            new = [seed for seed in sorted(seeds) if seed not in ids]
            held |= {i.id: (seed, name or "") for i, seed in zip(bank.images[len(held) :], new, strict=True)}
        elif what == "group":
            bank.group(chosen, name)
            held |= {id: (held[id][0], name) for id in chosen}
        elif what == "remove":
            bank.remove(chosen)
            gone |= {id: held.pop(id) for id in chosen}
        elif what == "restore":
            back = {id: image for id, image in gone.items() if image[0] in seeds and image[0] not in ids}
            back = {image[0]: id for id, image in back.items()}  # one id for each content
            bank.restore(back.values())
            held = dict(sorted((held | {id: gone.pop(id) for id in back.values()}).items()))
        elif what == "compact":
            bank.compact()
            shown, gone = (shown, gone) if not gone else ({}, {})
        else:
            bank = Bank.open(bank.path, tiny_backbone)
        shown[bank.version] = list(held.values())
        assert groups(bank) == [group for _, group in held.values()]
    anew = Bank.create(folder / "anew", tiny_backbone, Framing(64))
    if held:
        anew.add([PICTURES[seed] for seed, _ in held.values()], groups=[group for _, group in held.values()])
    assert [(i.sha256, i.group) for i in bank.images] == [(i.sha256, i.group) for i in anew.images]
    assert bank.content == anew.content
    assert bank.vectors("moments").tobytes() == anew.vectors("moments").tobytes()
    assert bank.verify() == []
    for version, images in shown.items():
        assert groups(Bank.open(bank.path, tiny_backbone, version)) == [group for _, group in images]
    shutil.rmtree(folder)


REGROUP = """
import sys
from anomalign import Bank
bank = Bank.open(sys.argv[1])
print("begun", flush=True)
for number in range(1000):
    bank.add(sys.argv[2], groups=f"g{number}") if number % 2 else bank.group("*", f"g{number}")
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_kill_while_images_are_regrouped_leaves_all_of_them_before_or_after(tmp_path, empty_bank, tiny_backbone):
    save(tmp_path / "pictures", 12)
    empty_bank.add(tmp_path / "pictures")
    chance = random.Random(4)
    for _ in range(15):
        with start(REGROUP, empty_bank.path, tmp_path / "pictures") as process:
            assert process.stdout.readline() == "begun\n"
            time.sleep(chance.uniform(0, 0.2))
            process.kill()
            reported = [int(line) for line in process.stdout.read().split()]
        assert len(whole(empty_bank.path, tiny_backbone)) == 12
        (name,) = set(groups(Bank.open(empty_bank.path, tiny_backbone)))
        if reported:
            assert name in (f"g{reported[-1]}", f"g{reported[-1] + 1}")
