"""Strategy 1 of the paper: translate the target into the style of the source (CUT), then segment it.

    G : target -> source                     PatchNCE keeps content, a PatchGAN asks for the source's look
    L_G = LSGAN(G(a)) + (NCE(a, G(a)) + NCE(b, G(b))) / 2          a of the target, b of the source
    L_D = (D(G(a))^2 + (D(b) - 1)^2) / 2
    f   : trained on the source alone, used behind G

After Park et al., "Contrastive learning for unpaired image-to-image translation" (ECCV 2020).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from morula.engine import Run, Stage, TrainState, Weights, WeightsInfo, cosine, fit, seeded, update
from morula.recipes.emda.config import EmdaConfig
from morula.recipes.emda.crops import Crops
from morula.recipes.emda.domains import Domains
from morula.recipes.emda.losses import least_squares, patch_nce
from morula.recipes.emda.networks import CutGenerator, PatchDiscriminator, PatchHeads, draw_positions
from morula.recipes.emda.schedules import shares
from morula.recipes.emda.segmenter import Translated, network_of
from morula.recipes.emda.supervised import fit_supervised

__all__ = ["learn"]

_LR, _BETAS = 2e-4, (0.5, 0.999)


def learn(run: Run, domains: Domains, config: EmdaConfig) -> tuple[nn.Module, Stage]:
    """Trains the generator, then the segmenter, and keeps checkpoints of the segmenter behind the generator.

    Returns:
        A network of the trained kind, and the stage that holds the checkpoints.
    """
    first, second = shares(config.steps, (config.pretext_share, 1 - config.pretext_share))
    stage = run.stage("translate", steps=first)
    with seeded(stage.rng("weights")):
        whole = network_of(config)
        judge = PatchDiscriminator(config.generator_width)
    assert isinstance(whole, Translated)
    path = stage.path / "generator.safetensors"
    if stage.done:
        Weights.load(path).load_into(whole.generator)
    else:
        _translate(run, stage, whole.generator, judge, domains, config, first)
        Weights.of(whole.generator, WeightsInfo("emda.CutGenerator")).save(path)
        stage.finish()
    train = run.stage("train", steps=second)
    if not train.done:
        generator = whole.generator.requires_grad_(False)
        fit_supervised(
            run, train, whole.network, domains, config, second, wrap=lambda mean: Translated(generator, mean)
        )
        train.finish()
    return whole, train


def _translate(
    run: Run,
    stage: Stage,
    generator: CutGenerator,
    judge: PatchDiscriminator,
    domains: Domains,
    config: EmdaConfig,
    steps: int,
) -> None:
    fabric, device = run.fabric, run.fabric.device
    with seeded(stage.rng("heads")):
        heads = PatchHeads(generator.feature_channels)
    both = nn.ModuleList([generator, heads])
    _, maker = fabric.setup(both, torch.optim.Adam(both.parameters(), lr=_LR, betas=_BETAS))
    _, hunter = fabric.setup(judge, torch.optim.Adam(judge.parameters(), lr=_LR, betas=_BETAS))
    state = TrainState(generator=generator, heads=heads, judge=judge, maker=maker, hunter=hunter)
    crops = Crops(domains, config, stage.rng("crops"))

    def nce(image: Tensor, made: Tensor) -> Tensor:
        keys, queries = generator.encode(image), generator.encode(made)
        places = draw_positions(keys)
        pairs = zip(heads(queries, places), heads(keys, places), strict=True)
        return torch.stack([patch_nce(query, key) for query, key in pairs]).mean()

    def step(batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        a, b = (image.to(device) * 2 - 1 for image in batch)
        rate = cosine(_LR, state.step, steps)
        with fabric.autocast():
            made, same = generator(torch.cat([a, b])).float().split(len(a))
            told = least_squares(judge(made.detach()), real=False) + least_squares(judge(b), real=True)
        update(fabric, hunter, told / 2, lr=rate)
        with fabric.autocast():
            fooled = least_squares(judge(made), real=True)
            content = (nce(a, made) + nce(b, same)) / 2
        update(fabric, maker, fooled + content, lr=rate)
        return {"fooled": fooled.detach(), "PatchNCE": content.detach(), "discriminator": told.detach() / 2}

    def batches(index: int) -> tuple[Tensor, Tensor]:
        return crops.target(index, 1), crops.unlabelled_source(index, 1)

    fit(step, batches, state, steps, stage)
