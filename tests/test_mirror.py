"""Data sets that authors keep beside the checkout are found, and never against somebody's word."""

import os

from authoring.course import use_mirror_beside


def test_the_folder_beside_the_checkout_is_the_mirror_of_last_resort(tmp_path, monkeypatch):
    root = tmp_path / "course"
    root.mkdir()
    monkeypatch.delenv("RECSYS_COURSE_MIRROR", raising=False)
    use_mirror_beside(root)
    assert "RECSYS_COURSE_MIRROR" not in os.environ
    (tmp_path / "shared" / "data").mkdir(parents=True)
    monkeypatch.setenv("RECSYS_COURSE_MIRROR", "somewhere else")
    use_mirror_beside(root)
    assert os.environ["RECSYS_COURSE_MIRROR"] == "somewhere else"
    monkeypatch.delenv("RECSYS_COURSE_MIRROR")
    use_mirror_beside(root)
    assert os.environ["RECSYS_COURSE_MIRROR"] == str(tmp_path / "shared" / "data")
