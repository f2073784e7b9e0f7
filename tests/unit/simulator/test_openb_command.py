"""The command prints what the experiment finds, as a table and as JSON."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from fabric.cli import exits
from fabric.cli.simulate_openb import openb


@pytest.fixture
def lists(tmp_path: Path) -> tuple[str, ...]:
    """A hundred devices, and pods that each take one."""
    nodes = "".join(f"n{n},8000,1024,4,T4\n" for n in range(25))
    (tmp_path / "nodes.csv").write_text(f"sn,cpu_milli,memory_mib,gpu,model\n{nodes}")
    pods = "".join(f"p{n},1000,1,1,1000,\n" for n in range(50))
    (tmp_path / "pods.csv").write_text(f"name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n{pods}")
    return ("--nodes", str(tmp_path / "nodes.csv"), "--pods", str(tmp_path / "pods.csv"))


def _run(*words: str) -> Result:
    app = typer.Typer(cls=exits.Commands)
    app.command()(openb)
    app.command("other")(lambda: None)
    return CliRunner().invoke(app, ["openb", *words])


def test_json_has_the_allocation_by_demand(lists: tuple[str, ...]) -> None:
    told = _run(*lists, "--policy", "best-fit", "--seeds", "2", "--json")
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["allocation_pct"] == {"50": 50, "80": 80, "90": 90, "100": 100, "110": 100, "130": 100}
    assert (found["policy"], found["seeds"], found["num_pods"], found["num_lost"]) == ("best-fit", [42, 43], 130, 30)
    assert set(found["allocation_pct_sd"].values()) == set(found["fragmentation_pct"].values()) == {0}
    assert found["seconds_per_run"] > 0


def test_the_table_has_a_line_for_each_demand(lists: tuple[str, ...]) -> None:
    told = _run(*lists, "--seeds", "1")
    assert told.exit_code == 0, told.output
    lines = [line.split() for line in told.stdout.splitlines()]
    assert ["110", "%", "100.00", "0.00", "0.00", "0.00"] in lines
    assert "fgd, 1 seeds: 30 of 130 pods fitted nowhere" in told.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--policy", "worst-fit"), "no policy 'worst-fit'. Choose one of random"),
        (("--policy", "spread"), "no policy 'spread'. Choose one of random"),
        (("--nodes", "nowhere.csv"), "nowhere.csv: cannot be read"),
        (("--seeds", "0"), "--seeds"),
    ],
)
def test_wrong_words_end_with_code_2(lists: tuple[str, ...], words: tuple[str, ...], says: str) -> None:
    told = _run(*lists, *words)
    assert told.exit_code == 2
    assert says in told.stderr
