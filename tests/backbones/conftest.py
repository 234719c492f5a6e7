import pytest


@pytest.fixture
def cache_folder(tmp_path, monkeypatch):
    """An empty cache folder of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("ANOMALIGN_BACKBONES", str(folder))
    return folder
