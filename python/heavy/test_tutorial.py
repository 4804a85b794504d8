"""TUTORIAL.md runs, from the root of the repository."""

import doctest
import pathlib


def test_tutorial(monkeypatch):
    here = pathlib.Path(__file__).parents[1]
    monkeypatch.chdir(here.parent)
    pathlib.Path("target").mkdir(exist_ok=True)
    flags = doctest.NORMALIZE_WHITESPACE
    result = doctest.testfile(str(here / "TUTORIAL.md"), module_relative=False, optionflags=flags)
    assert result.failed == 0 and result.attempted > 30
    assert pathlib.Path("target/calibration.svg").stat().st_size > 10_000
