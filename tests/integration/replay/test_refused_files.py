"""`bellwether replay` of files that cannot be read ends, with words and a code."""

from __future__ import annotations

from pathlib import Path

import pytest

from bellwether.cli.main import main

pytestmark = pytest.mark.integration

SYSTEM = """
apiVersion: bellwether.dev/v1alpha1
kind: TradingSystem
metadata: {name: demo}
spec:
  symbols: [CBA.AX, BHP.AX]
  data: {provider: csv, csv: {directory: bars}}
  clock: {mode: replay, from: "2009-01-02"}
"""


def test_a_replay_whose_files_are_all_refused_ends_and_names_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bars").mkdir()
    (tmp_path / "system.yaml").write_text(SYSTEM)
    rows = "\n".join(f'2009-01-{day:02},"1,2,1,1,1,5' for day in (2, 5, 6))
    (tmp_path / "bars" / "CBA.AX.csv").write_text(f"Date,Open,High,Low,Close,Adj Close,Volume\n{rows}\n")
    assert main(["replay", str(tmp_path / "system.yaml"), "--data", str(tmp_path / "data")]) == 1
    reported = capsys.readouterr().err
    assert "error: the replay failed: no symbol has bars: BHP.AX: " in reported
    assert reported.count("no symbol has bars") == 1, "why it failed is said once, at the end"
    assert f"{tmp_path}/bars/BHP.AX.csv does not exist: each symbol needs its SYMBOL.csv" in reported
    assert "CBA.AX.csv: it has no row with prices: line 2: its quotes do not match" in reported
