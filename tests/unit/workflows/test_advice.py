"""What a report says to do next."""

from __future__ import annotations

from dataclasses import replace
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


def neurons(run: Path, *rows: tuple[int, float, float, tuple[float, float, float]]) -> Finding:
    """A volume with a neuron a row: id, score, area, and its middle as z, y, x."""
    found = finding(run, "volume", 0.5)
    lines = [f"{name},neuron,{score},{area},{y},{x},{z}" for name, score, area, (z, y, x) in rows]
    text = "\n".join(["id,class,score,area,centroid_y,centroid_x,centroid_z", *lines, ""])
    (found.folder / "objects.csv").write_text(text)
    return replace(found, truth={"voi": 0.8})


def test_of_a_volume_it_says_what_is_labelled_and_where_to_label_more(tmp_path: Path) -> None:
    block = [[4, 20], [0, 40], [8, 56]]
    inside, speck = (1, 0.1, 90, (19.4, 3, 55.4)), (2, 0.05, 1, (1, 1, 1))
    below, beside = (3, 0.75, 95, (19.6, 30, 9)), (4, 0.5, 99, (12, 41, 90.2))
    (told,) = next_steps(tmp_path / "a", [neurons(tmp_path / "a", inside, speck, below, beside)], block)
    assert "in the box z 4 to 19, y 0 to 39, x 8 to 55." in told
    assert "these: neuron 4 (0.50), z y x 12 41 90; neuron 3 (0.75), z y x 20 30 9. Label a block" in told
    (told,) = next_steps(tmp_path / "b", [neurons(tmp_path / "b", inside)], block)
    assert "no neuron has its middle outside" in told and "another volume" in told
    (told,) = next_steps(tmp_path / "c", [neurons(tmp_path / "c")], block)
    assert "no neuron has its middle outside" in told


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
