"""What a report says to do next."""

from __future__ import annotations

from pathlib import Path

from morula.workflows.advice import next_steps, no_curve
from morula.workflows.findings import Finding


def finding(run: Path, name: str, score: float) -> Finding:
    folder = run / "predictions" / name
    folder.mkdir(parents=True)
    (folder / "objects.csv").write_text(f"score,class,area\n{score},cell,9\n")
    return Finding(name, None, None, folder, None)


def test_images_without_labels_are_ranked_by_confidence_or_by_the_recipe(tmp_path: Path) -> None:
    findings = [finding(tmp_path, "sure", 0.9), finding(tmp_path, "unsure", 0.2)]
    assert "confidence: unsure (0.20), sure (0.90)" in next_steps(tmp_path, findings)[0]
    ranking = tmp_path / "report" / "label_next.csv"
    ranking.parent.mkdir()
    ranking.write_text("image,doubt\nsure,0.4\n")
    assert "can be learned from them: sure." in next_steps(tmp_path, findings)[0]


def test_nothing_is_to_be_labelled_where_all_is(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "label_next.csv").write_text("image,doubt\n")
    assert next_steps(tmp_path, [finding(tmp_path, "a", 0.2)])[0].startswith("All images have labels")


def test_a_curve_over_labels_that_was_not_drawn_is_a_command_away(tmp_path: Path) -> None:
    run, header = tmp_path / "run", {"seed": 3}
    plan = {"images": "raw.tif", "labels": "b.tif", "source": None, "source_labels": None, "told": []}
    assert no_curve(run, plan, header) == ()
    (run / "5-tune").mkdir(parents=True)
    (told,) = no_curve(run, plan, header)
    command = f"morula run raw.tif --labels b.tif --config {run}/plan.toml --seed 3"
    assert f"{command} --set 'finetune.budgets=[0.1,0.25,0.5]' --out {run}-budgets" in told
    (run / "6-labels-10").mkdir()
    assert no_curve(run, plan, header) == ()
