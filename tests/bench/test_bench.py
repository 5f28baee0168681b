"""The bench as a command: groups, scenes, peers, JSON, page, comparison, table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stempede_bench import registry, run
from stempede_bench.compare import ratio_of_medians
from stempede_bench.contract import Case, Contender, DisagreementError, Scene, Work
from stempede_bench.measure import run_case
from stempede_bench.rates import Rates

SMALL = ("--vary", "side=160", "--vary", "batch=2", "--repeats", "2")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the usual scene a small one."""
    monkeypatch.setattr(run, "USUAL", Scene(side=160))


class Doubling(Case):
    name = "doubling"
    peer = staticmethod(lambda values: values * 2)

    def contenders(self) -> tuple[Contender, ...]:
        values = np.arange(1000.0)
        return (
            Contender("stempede.add", lambda: values + values),
            Contender("numpy.multiply", lambda: self.peer(values)),
            Contender("other.add", lambda: np.add(values, values)),
        )

    def items(self) -> int:
        return 1000

    def work(self) -> Work:
        return Work(bytes=16_000)

    def agree(self, outputs: dict[str, Any]) -> dict[str, float]:
        ours, *others = outputs.values()
        if any((ours != theirs).any() for theirs in others):
            raise DisagreementError("sums differ")
        return {"largest difference": 0.0}


class Tripling(Doubling):
    peer = staticmethod(lambda values: values * 3)


def test_contenders_run_side_by_side_and_keep_every_repeat() -> None:
    result = run_case(Doubling(), 5)
    assert [t.name for t in result.timings] == ["stempede.add", "numpy.multiply", "other.add"]
    assert all(len(t.seconds) == 5 and t.q1_s <= t.median_s <= t.q3_s for t in result.timings)
    assert set(result.ratios) == {"numpy.multiply", "other.add"}
    assert result.floor_s is not None
    assert 0 < result.floor_s < 1e-3


def test_only_the_peers_asked_for_compete() -> None:
    result = run_case(Doubling(), 2, peers={"numpy"})
    assert [t.name for t in result.timings] == ["stempede.add", "numpy.multiply"]


def test_no_speed_is_given_where_outputs_differ() -> None:
    with pytest.raises(DisagreementError, match="sums differ"):
        run_case(Tripling(), 2)


def test_the_floor_is_the_slower_of_moving_and_calculating() -> None:
    rates = Rates(copy_bytes_per_s=10.0, flops_per_s=100.0)
    assert rates.floor_s(Work(bytes=20, flops=100)) == 2.0
    assert rates.floor_s(Work(bytes=1, flops=100)) == 1.0


def test_groups_cases_and_all() -> None:
    assert registry.named(["io", "codecs", "distance"]) == [*registry.GROUPS["io"], "distance"]
    assert registry.named([]) == registry.named(["all"])
    assert set(registry.CASES) - set(registry.named([])) == {"session"}
    with pytest.raises(ValueError, match="'kernel' is no case and no group"):
        registry.named(["kernel"])


@pytest.mark.parametrize("name", list(registry.CASES))
def test_every_case_loads_and_says_what_it_counts(name: str) -> None:
    case = registry.load(name)
    assert case.name == name
    assert case.unit


def test_measurements_become_json_page_comparison_and_table(
    small: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    for file in files:
        page = file.with_suffix(".html")
        assert run.main(["distance", "tiff", *SMALL, "--json", str(file), "--html", str(page)]) == 0
    measured = json.loads(files[0].read_text())
    scenes = [(r["case"], r["scene"]) for r in measured["results"]]
    assert scenes == [
        ("distance", "side=160"),
        ("distance", "side=160, batch=2"),
        ("tiff", "side=160"),
    ]
    assert measured["machine"]["copy_GB_per_s"] > 0
    text = files[0].with_suffix(".html").read_text()
    assert "scipy.ndimage.distance_transform_edt" in text
    assert "http" not in text.replace("http://www.w3.org", "").replace(
        "http://purl.org", ""
    ).replace("http://creativecommons.org", "").replace("https://matplotlib.org", "")
    capsys.readouterr()
    assert run.main(["compare", *map(str, files)]) == 0
    compared = capsys.readouterr().out
    assert compared.count("distance · side=160") == 4
    assert "not the same machine" not in compared
    assert run.main(["table", str(files[0])]) == 0
    assert "| distance, side=160 | 26 kilopixels |" in capsys.readouterr().out


def test_a_ratio_of_medians_lies_in_its_interval() -> None:
    rng = np.random.default_rng(3)
    one, two = rng.normal(1.0, 0.02, 21), rng.normal(0.8, 0.02, 21)
    low, ratio, high = ratio_of_medians(one, two)
    assert low < ratio < high
    assert low < 0.8 < high
    assert high - low < 0.06


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "'nothing' is no case"),
        (["distance", "--vary", "width=3"], "--vary wants side or count or batch"),
        (["compare", "one.json"], "compare wants two JSON files"),
    ],
)
def test_wrong_use_is_said(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run.main(arguments)
    assert said in capsys.readouterr().err
