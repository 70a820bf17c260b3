from __future__ import annotations

import numpy as np
import torch

from morula.core.rng import Rng
from morula.recipes.emda.config import presets
from morula.recipes.emda.crops import Crops
from morula.recipes.emda.domains import Domain, Domains
from synthetic import em_stack


def crops(preset: str = "best", **changes: object) -> Crops:
    image, mask = em_stack(0, size=160, sections=3)
    target = em_stack(1, size=160, sections=3, dark=20, light=60)[0]
    domains = Domains(Domain((image,), (mask,), (1.0,)), Domain((target,), (), (1.0,)), common=True)
    config = presets()[preset].model_copy(update={"crop": 64, "batch": 8, **changes})
    return Crops(domains, config, Rng(0, "test"))


def test_a_batch_depends_on_its_index_alone():
    drawn = crops()
    first = drawn.labelled(3)
    drawn.labelled(4)
    again = crops().labelled(3)
    assert torch.equal(first.image, again.image)
    assert not torch.equal(first.image, drawn.labelled(4).image)
    assert first.image.shape == (8, 1, 64, 64)
    assert first.label.shape == (8, 64, 64)


def test_balanced_crops_hold_more_mitochondria():
    def share(balance: float) -> float:
        drawn = crops(balance=balance)
        return float(np.mean([drawn.labelled(index).label.mean() for index in range(12)]))

    assert share(1.0) > 1.3 * share(0.0)


def test_labels_lie_on_the_dark_objects():
    batch = crops(style="none", augment="flips").labelled(0)
    inside, outside = batch.image[:, 0][batch.label > 0.9], batch.image[:, 0][batch.label < 0.1]
    assert inside.mean() < outside.mean() - 0.2


def test_style_brings_the_targets_grey_values():
    plain, styled = (
        crops(style=style, style_share=1.0, augment="flips").labelled(0).image.mean()
        for style in ("none", "histogram")
    )
    assert styled < plain - 0.2


def test_pairs_show_what_changes_from_section_to_section():
    image, mask = em_stack(0, size=160, sections=5)
    mask = np.zeros_like(mask)
    mask[3] = 1  # all of this section, and nothing of the others
    domains = Domains(Domain((image,), (mask,), (1.0,)), Domain((image,), (), (1.0,)), common=True)
    config = presets()["inter-section"].model_copy(update={"crop": 64, "target_batch": 6})
    drawn = Crops(domains, config, Rng(0, "test"))
    for gap, changed in ((1, 2 / 4), (2, 1 / 3)):
        batches = [drawn.source_pairs(index, gap) for index in range(40)]
        assert batches[0].image.shape == (6, 2, 64, 64)
        labels = torch.cat([batch.label for batch in batches])
        assert set(labels.mean(dim=(1, 2)).tolist()) == {0.0, 1.0}
        assert abs(float(labels.mean()) - changed) < 0.1


def test_both_sections_of_a_target_pair_are_the_same_place():
    flat = np.repeat(em_stack(0, size=160, sections=1)[0], 4, axis=0)
    flat[::2] //= 2
    domains = Domains(Domain((flat,), (flat > 0,), (1.0,)), Domain((flat,), (), (1.0,)), common=True)
    config = presets()["inter-section"].model_copy(update={"crop": 64})
    one, other = Crops(domains, config, Rng(0, "test")).target_pairs(0, 1).unbind(1)
    low, high = torch.minimum(one, other), torch.maximum(one, other)
    assert (2 * low - high).abs().max() < 0.01
    same = Crops(domains, config, Rng(0, "test")).target_pairs(0, 2)
    assert torch.equal(same[:, 0], same[:, 1])
