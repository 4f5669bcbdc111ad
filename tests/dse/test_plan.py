"""Plans as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from rankline.src.dse.configuration import Configuration
from rankline.src.dse.errors import UserError
from rankline.src.dse.plan import plan_from_json, plan_to_json, read_plan, write_plan

TUCKER = Configuration("tucker", (2, 3))


def test_plan_file_round_trips(tmp_path: Path) -> None:
    plan = {"conv1": TUCKER, "outer/fc": Configuration("t3f", (4,), "4x8:8x4")}
    write_plan(plan, tmp_path / "plan.json")
    assert read_plan(tmp_path / "plan.json") == plan
    text = plan_to_json({"conv1": Configuration("tucker", (2, 3))})
    assert text == '{\n  "conv1": {"method": "tucker", "ranks": [2, 3]}\n}\n'
    assert plan_from_json(plan_to_json({})) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object"),
        ('{"a": [1]}', "layer 'a': expected 'method' and 'ranks'"),
        ('{"a": {"method": "svd"}}', "layer 'a': expected 'method' and 'ranks'"),
        ('{"a": {"method": "svd", "ranks": [1], "rank": 1}}', "layer 'a': expected"),
        ('{"a": {"method": "svdd", "ranks": [1]}}', "layer 'a': unknown method 'svdd'; did you mean 'svd'"),
        ('{"a": {"method": "svd", "ranks": [0]}}', "whole numbers of at least 1"),
        ('{"a": {"method": "svd", "ranks": [true]}}', "whole numbers of at least 1"),
        ('{"a": {"method": "svd", "ranks": []}}', "whole numbers of at least 1"),
        ('{"a": {"method": "svd", "ranks": 3}}', "whole numbers of at least 1"),
        ('{"a": {"method": "t3f", "ranks": [1], "shape": 4}}', "shape must be text"),
    ],
)
def test_malformed_plans_are_refused(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text(text)
    with pytest.raises(UserError, match=f"plan .*plan.json: .*{message}"):
        read_plan(file)


def test_a_missing_plan_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.json cannot be read"):
        read_plan(tmp_path / "nowhere.json")
