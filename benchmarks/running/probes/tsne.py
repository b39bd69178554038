"""t-SNE of test images of base and novel classes after the last session (LEC-Net's Figure 9)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.running.probes.probe import Probe
from benchmarks.system.streams import stream

IMAGES = 1024  # at most, of base classes, and as many of novel ones (section 4.3)


class Tsne(Probe):
    """`x`, `y` and the `session` of the image's class. Embeds the input features of all heads, each normalised to length one.

    LEC-Net has one fused feature per session. All of them are concatenated, because choosing one by the image's true class would
    separate the classes by their labels.
    """

    name = "tsne"

    def after_test(self, session: int) -> None:
        from sklearn.manifold import TSNE  # a tenth of the imports that every worker would wait for

        sessions = self.contender.strategy.context.sessions
        if session < sessions.count:
            return
        strategy = self.contender.strategy
        draw = stream(self.seed, "tsne")
        features, origin = [], []
        for numbers in (range(1), range(1, sessions.count + 1)):
            group = [self.contender.test_features(number) for number in numbers]
            together = torch.cat(group)
            where = np.repeat(list(numbers), [len(part) for part in group])
            indices = draw.permutation(len(together))[:IMAGES]
            features.append(together[torch.from_numpy(indices)])
            origin.append(where[indices])
        read = torch.cat([F.normalize(part, dim=1) for part in strategy.represent(torch.cat(features))], dim=1)
        near = min(30.0, (len(read) - 1) / 3)  # scikit-learn's default perplexity, reduced for few images
        self.plane = TSNE(init="pca", perplexity=near, random_state=self.seed, n_jobs=1).fit_transform(read.double().cpu().numpy())
        self.origin = np.concatenate(origin)

    def numbers(self) -> dict[str, Any]:
        x, y = (self.plane[:, axis].round(3).tolist() for axis in (0, 1))
        return {"x": [round(v, 3) for v in x], "y": [round(v, 3) for v in y], "session": self.origin.tolist()}
