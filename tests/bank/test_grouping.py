"""Rules that work out groups: what each gives, and what each says where it gives none."""

import itertools
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from anomalign import InputError
from anomalign.bank import Bank, group_of
from anomalign.bank.grouping import as_group
from anomalign.bank.groups import MAX_LENGTH, check_group
from tests.bank.test_groups import photograph
from tests.pictures import save, texture


def table(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "groups.csv"
    path.write_bytes(text.encode(encoding))
    return f"csv:{path}"


# --- folder


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["/d/a/1.png", "/d/b/1.png", "/d/a/2.png"], ["a", "b", "a"]),
        (["/d/monday/good/1.png", "/d/tuesday/good/1.png"], ["monday/good", "tuesday/good"]),
        (["/d/parts/1.png", "/d/parts/2.png"], ["parts", "parts"]),
        (["/d/parts/1.png", "/d/parts/parts/1.png", "/d/parts/a/1.png"], ["parts", "parts/parts", "parts/a"]),
        (["/d/a/b/1.png", "/d/ab/1.png"], ["a/b", "ab"]),
        (["/d/a/../b/1.png", "/d/b/2.png"], ["b", "b"]),
        (["/1.png", "/a/1.png"], ["/", "/a"]),
        ([], []),
    ],
)
def test_a_folder_is_told_from_the_common_one(files, expected):
    assert group_of("folder", files) == expected


def test_relative_names_count_from_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "parts").mkdir()
    monkeypatch.chdir(tmp_path / "parts")
    assert group_of("folder", ["a/1.png", "./b/1.png"]) == ["a", "b"]
    assert group_of("folder", ["1.png", tmp_path / "parts" / "2.png"]) == ["parts", "parts"]
    assert group_of("folder", ["1.png", "../other/1.png"]) == ["parts", "other"]


@given(st.lists(st.lists(st.sampled_from(["a", "b", "a/b", " ", "x" * 150, "\n"]), max_size=4), min_size=1, max_size=6))
def test_images_share_a_group_if_and_only_if_they_share_a_folder(folders):
    files = ["/".join(["/root", *folder, "1.png"]) for folder in folders]
    groups = group_of("folder", files)
    parents = [file.removesuffix("/1.png") for file in files]
    for group, parent in zip(groups, parents, strict=True):
        assert check_group(group)
        assert [other == group for other in groups] == [other == parent for other in parents]


# --- name


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [(r"^(\w+)_", "partA"), (r"^[^_]+", "partA"), (r"_(\d+)\.png$", "007"), (r"(?:x|part)(A|B)(_)", "A")],
)
def test_a_name_gives_the_first_group_of_the_expression_or_all_that_it_finds(pattern, expected):
    assert group_of(f"name:{pattern}", ["/x9/partA_007.png"]) == [expected]


def test_an_expression_may_hold_colons():
    assert group_of("name:(?:a):(b)", ["a:b.png"]) == ["b"]


@pytest.mark.parametrize("pattern", [r"^(\d+)_", r"p(z)?", r"(z*)"])
def test_a_name_that_gives_no_group_is_named_with_the_remedy(pattern):
    with pytest.raises(InputError, match=r"^d/p1\.png, d/p2\.png, d/p3\.png and 2 more: .* finds no group.*change it"):
        group_of(f"name:{pattern}", [f"d/p{n}.png" for n in range(1, 6)])


@pytest.mark.parametrize("pattern", ["(", "[z-a]", "(?P<a>x)(?P<a>y)", "*", "a{99999999999999999999}", "(" * 5000])
def test_what_is_no_expression_is_refused(pattern):
    with pytest.raises(InputError, match="not a regular expression"):
        group_of(f"name:{pattern}", ["a.png"])


# --- each


def test_each_image_is_a_group_of_its_own_also_those_of_one_name_or_with_strange_ones():
    files = ["a/1.png", "b/1.png", "a/1.png", "x" * 300 + "1.png", "y" + "x" * 300 + "1.png", "a\n.png", "a?.png", " b"]
    groups = group_of("each", files)
    assert groups[:2] == ["a/1.png", "b/1.png"]
    assert len(set(groups)) == len(files)
    assert all(check_group(group) for group in groups)
    assert all(len(group) == MAX_LENGTH and "x1.png-" in group for group in groups[3:5])


@given(st.text(max_size=250), st.text(max_size=250))
def test_any_text_becomes_the_name_of_a_group_and_two_texts_two(first, second):
    names = [as_group(text) for text in (first, second)]
    assert [check_group(name) for name in names] == names
    assert (names[0] == names[1]) == (first == second)
    if first.isprintable() and first.strip() == first and len(first) <= MAX_LENGTH:
        assert names[0] == first


# --- time


def test_a_gap_begins_a_group_which_is_named_after_its_first_exposure(tmp_path):
    seconds = {"b": "10:00:05", "a": "10:00:07", "d": "10:00:10", "c": "10:00:09", "e": "10:00:13"}
    files = [
        photograph(tmp_path / f"{name}.jpg", number, f"2026:11:28 {time}")
        for number, (name, time) in enumerate(seconds.items())
    ]
    first, last = "2026-11-28T10:00:05", "2026-11-28T10:00:13"
    assert group_of("time:2", files) == [first, first, first, first, last]
    assert group_of("time:3", files) == [first] * 5
    assert len(set(group_of("time:0", files))) == 5
    assert group_of("time:1", files[2:4]) == ["2026-11-28T10:00:09"] * 2


@given(st.lists(st.integers(0, 59_999_999), min_size=1, max_size=12), st.floats(0, 60))
def test_neighbours_in_time_share_a_group_unless_the_gap_is_longer(microseconds, gap):
    taken = [f"2026-11-28T10:00:{value // 1_000_000:02}.{value % 1_000_000:06}" for value in microseconds]
    groups = group_of(f"time:{gap!r}", [str(n) for n in range(len(taken))], taken)
    pairs = sorted(zip(microseconds, groups, strict=True))
    for (earlier, group), (later, other) in itertools.pairwise(pairs):
        assert (group == other) == ((later - earlier) / 1_000_000 <= gap)


def test_an_image_without_a_time_is_named(tmp_path):
    dated = photograph(tmp_path / "dated.jpg", 0, "2026:11:28 10:00:05")
    (plain,) = save(tmp_path / "plain", 1)
    with pytest.raises(InputError, match=r"^\S*plain/000\.png: it is not known when this was taken"):
        group_of("time:60", [dated, plain])
    with pytest.raises(InputError, match=r"^b, c: it is not known"):
        group_of("time:60", ["a", "b", "c"], ["2026-11-28T10:00:05", "", "noon"])


def test_a_file_that_is_no_image_does_not_end_the_call_as_adding_reports_it(tmp_path):
    dated = photograph(tmp_path / "dated.jpg", 0, "2026:11:28 10:00:05")
    (tmp_path / "torn.jpg").write_bytes(b"torn")
    assert group_of("time:60", [tmp_path / "torn.jpg", dated, tmp_path / "gone.jpg"]) == ["", "2026-11-28T10:00:05", ""]


@pytest.mark.parametrize("seconds", ["x", "-1", "nan", "inf", "1s", " "])
def test_what_is_no_number_of_seconds_is_refused(seconds):
    with pytest.raises(InputError, match="not a number of seconds"):
        group_of(f"time:{seconds}", ["gone.jpg"])


# --- table


@pytest.mark.parametrize(
    "text",
    [
        "image,group\n1.png,a\n2.png,b\n",
        "\ufeffgroup,image\r\na,1.png\r\nb,2.png\r\n",
        "image;group\n1.png;a\n2.png;b",
        "image\tgroup\n1.png\ta\n2.png\tb",
        "n,Group,FILE\n0,a,1.png\n1,b,2.png\n",
        "group,filename\na,1.png\nb,2.png\n",
        "picture,batch,note\n1.png,a,x\n2.png,b,y\n",
        ' name , group \n"1.png", a \n\n./2.png,b\n3.png,c\n',
        "image,group\n1.png,a\n1.png,a\n2.png,b\n",
        "image,group\n/elsewhere/1.png,a\n/elsewhere/2.png,b\n",
    ],
)
def test_a_table_gives_the_groups_by_file_name(tmp_path, text):
    assert group_of(table(tmp_path, text), ["/d/1.png", "/d/2.png", "/d/1.png"]) == ["a", "b", "a"]


def test_a_column_may_be_named(tmp_path):
    place = table(tmp_path, "image,group,batch:no\n1.png,a,x\n")
    assert group_of(f"{place}:image", ["1.png"]) == ["1.png"]
    (tmp_path / "groups.csv").write_text("image,group,batch\n1.png,a,x\n")
    assert group_of(f"{place}:batch", ["1.png"]) == ["x"]
    with pytest.raises(InputError, match=r"groups\.csv: has no column 'Batch'; its columns are image, group, batch"):
        group_of(f"{place}:Batch", ["1.png"])


def test_a_file_name_may_hold_a_colon(tmp_path):
    path = tmp_path / "10:30.csv"
    path.write_text("image,group,batch\n1.png,a,x\n")
    assert group_of(f"csv:{path}", ["1.png"]) == ["a"]
    assert group_of(f"csv:{path}:batch", ["1.png"]) == ["x"]


def test_the_longest_path_of_the_table_counts(tmp_path):
    place = table(tmp_path, "image,group\n/d/a/1.png,whole\na/1.png,tail\n1.png,name\nb/1.png,other\n")
    files = ["/d/a/1.png", "/e/a/1.png", "/e/c/1.png", "b/1.png"]
    assert group_of(place, files) == ["whole", "tail", "name", "other"]


def test_a_row_that_fits_several_images_is_refused(tmp_path):
    place = table(tmp_path, "image,group\n1.png,a\n2.png,b\n")
    with pytest.raises(InputError, match=r"^a/1\.png, b/1\.png: its row of .*fits another image, too"):
        group_of(place, ["a/1.png", "a/2.png", "b/1.png"])


def test_images_without_a_group_are_named_up_to_three(tmp_path):
    place = table(tmp_path, "image,group\n1.png,a\n2.png,\n3.png\n4.png,  \nx/5.png,b\ny/5.png,c\n")
    with pytest.raises(
        InputError, match=r"^2\.png, 3\.png, 4\.png and 2 more: no row of .*groups\.csv gives its group"
    ):
        group_of(place, ["1.png", "2.png", "3.png", "4.png", "5.png", "6.png"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a table with a header"),
        ("image\n1.png\n", "no column for the groups"),
        ("batch,image\na,1.png\n", "no column for the groups"),
        ("image,group\n1.png,a\n./1.png,b\n", r"gives \./1\.png two groups, 'a' and 'b'"),
        ('image,group\n1.png,"' + "x" * 200_000 + '"\n', "not a table with a header"),
        ("image,group\n2.png,a\n", "no row of"),
    ],
)
def test_a_table_that_cannot_be_used_is_named_with_its_fault(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        group_of(table(tmp_path, text), ["1.png"])
    assert "groups.csv" in str(caught.value)


def test_a_table_that_cannot_be_read_is_named(tmp_path):
    for place, message in (
        (f"csv:{tmp_path}", "cannot be read"),
        (f"csv:{tmp_path}/none.csv", r"none\.csv: cannot be"),
    ):
        with pytest.raises(InputError, match=message):
            group_of(place, ["1.png"])
    with pytest.raises(InputError, match=r"groups\.csv: not text in UTF-8"):
        group_of(table(tmp_path, "image,group\n1.png,Stück\n", "latin-1"), ["1.png"])
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="it is a pipe"):
        group_of(f"csv:{tmp_path / 'pipe'}", ["1.png"])


# --- all rules


@pytest.mark.parametrize(
    "by", ["", "folders", "folder:", "folder:2", "name", "name:", "csv:", "time", "time:", "each:1"]
)
def test_what_is_no_rule_is_refused(by):
    with pytest.raises(InputError, match=re.escape(f"{by!r}: no rule for groups; take folder, name:REGEX")):
        group_of(by, ["a.png"])


@pytest.mark.parametrize("by", ["folder", "name:^.", "each", "time:60", "csv:{table}"])
def test_a_bank_takes_what_a_rule_gives_and_gives_it_again_from_its_names(tmp_path, empty_bank, by):
    """Also when the files are gone."""
    files = [
        photograph(tmp_path / "p" / part / f"{n}.jpg", 4 * n + number, f"2026:11:28 1{n}:00:0{number}")
        for n in range(2)
        for number, part in enumerate(["left", "right"])
    ]
    place = table(tmp_path, "image,group\n" + "".join(f"{f},{f.parent.name}{n % 3}\n" for n, f in enumerate(files)))
    rule = by.format(table=place.removeprefix("csv:"))
    groups = group_of(rule, files)
    assert len(set(groups)) >= 2
    empty_bank.add(files, groups=groups)
    assert [image.group for image in empty_bank.images] == groups
    for file in files:
        file.unlink()
    bank = Bank.open(empty_bank.path, empty_bank.backbone)
    names, taken = zip(*[(image.name, image.taken) for image in bank.images], strict=True)
    assert group_of(rule, names, taken) == groups


def test_reading_times_leaves_the_files_alone(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(texture(0)).save(path)
    before = path.read_bytes(), path.stat().st_mtime_ns
    with pytest.raises(InputError):
        group_of("time:1", [path])
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
