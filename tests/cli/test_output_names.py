from pathlib import Path

from anomalign.cli.output import output_names


def test_names_are_paths_below_the_common_folder():
    paths = [Path("/d/test/good/000.png"), Path("/d/test/scratch/000.png")]
    assert list(output_names(paths)) == ["good/000", "scratch/000"]


def test_one_image_is_named_after_itself():
    assert list(output_names([Path("/d/test/good/000.png")])) == ["000"]


def test_no_name_is_given_twice():
    names = list(output_names([Path("a.png"), Path("a.jpg"), Path("a_jpg.bmp"), Path("a.tif")]))
    assert names[:2] == ["a", "a_jpg"]
    assert len(set(names)) == 4


def test_no_images_no_names():
    assert list(output_names([])) == []


def test_a_name_that_would_be_too_long_for_its_outputs_is_cut_and_stays_its_own():
    names = list(output_names([Path("/d/" + "x" * 250 + "a.png"), Path("/d/" + "x" * 250 + "b.png"), Path("/d/c.png")]))
    assert all(len(name) < 100 for name in names)
    assert len(set(names)) == 3
    assert names[2] == "c"
