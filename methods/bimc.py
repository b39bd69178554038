"""BiMC: a class is a mean of its images and its texts; two rules together; no training (Chen et al., CVPR 2025; docs/modern.md 2.8)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from methods.bases.cosine import FIXED_16
from methods.contract import FeatureMethod, MethodConfig
from methods.contract.texts import texts_of
from methods.parts.features import class_covariances, class_means, likeness
from methods.parts.heads import unit


class BiMc(FeatureMethod):
    """On unit features, p = alpha p_mu + (1 - alpha) (p_cov for base classes, p_nn for novel ones), softmaxes over all classes: p_mu of
    cosines to mu = beta mu_T + (1 - beta) mu_I, of texts and images; p_cov of minus Mahalanobis distances to mu_I, by d; p_nn of the
    largest cosine to a description of the class. Where the data has none, the prompt is the one description, and mu_T the prompt, whatever
    `text_share` is.

    What the equations leave open is as in public code after the release: no temperature in a softmax (`scale_...`), a session's covariance
    is of all its features around one mean, and is shrunk before it is averaged by numbers of classes. That code states `beta` for each data
    set. Here it is chosen in session 0 and held: `held_out` of each base class's training features are left out of its mean (one at least,
    none of a class of one image), and p_mu is to get most of them right; of equals, the smallest. That share and rule are the suite's.
    """

    title = "BiMC"
    group = "modern"
    base = "cosine"
    bases = {"cosine": FIXED_16}
    needs = "texts"

    class Config(MethodConfig):
        text_share: float = Field(0.5, ge=0, le=1)  # lambda_T: of descriptions in mu_T, beside the prompt
        shift: float = Field(0.1, ge=0, le=1)  # lambda_I: of the base classes that a novel one resembles
        temperature: float = Field(16.0, gt=0)  # of that likeness
        unit_means: bool = False  # the code divides means of images and of descriptions by their lengths, the equations do not
        beta: float | None = Field(None, ge=0, le=1)  # share of texts; None: chosen
        step: float = Field(0.05, gt=0, le=1)  # between the shares tried
        held_out: float = Field(0.2, gt=0, lt=1)
        ridge_base: float = Field(1.0, ge=0)  # gamma: of the mean variance, on the diagonal
        ridge_novel: float = Field(5.0, ge=0)
        alpha: float = Field(0.6, ge=0, le=1)  # .8 on CUB-200
        scale_mu: float = Field(1.0, gt=0)
        scale_cov: float = Field(1.0, gt=0)
        scale_nn: float = Field(1.0, gt=0)

    def learn(self, features: Tensor, labels: Tensor) -> None:
        c, x, span = self.config, unit(features.double()), self.context.sessions.span(self.session)
        of_text = self.text_means()[span.start :]
        means, covariance = self.scaled(class_means(x, labels)), self.shrunk_covariance(x)
        if not self.session:
            self.beta = self.chosen(x, labels, of_text) if c.beta is None else c.beta
            self.image_means, self.covariance = means, covariance
        else:
            base = self.image_means[: self.context.sessions.base]
            drawn_to = self.scaled(likeness(means, base, c.temperature) @ base)
            means = self.scaled((1 - c.shift) * means + c.shift * drawn_to)
            self.image_means = torch.cat([self.image_means, means])
            self.covariance = (span.start * self.covariance + len(span) * covariance) / span.stop
        self.add_rows((self.beta * of_text + (1 - self.beta) * means).to(self.rows.dtype))

    def text_means(self) -> Tensor:
        """mu_T [classes seen, d]. Stores the descriptions."""
        texts, share = texts_of(self.context), self.config.text_share
        prompts = unit(texts.prompts.double())
        self.descriptions = prompts[:, None] if texts.descriptions is None else unit(texts.descriptions.double())
        return prompts if texts.descriptions is None else (1 - share) * prompts + share * self.scaled(self.descriptions.mean(1))

    def scaled(self, means: Tensor) -> Tensor:
        """Means [n, d], of length 1 where `unit_means` says so."""
        return unit(means) if self.config.unit_means else means

    def shrunk_covariance(self, x: Tensor) -> Tensor:
        """Covariance [d, d] of the session's features [n, d], with a share of the mean variance added to the diagonal."""
        [covariance] = class_covariances(x, torch.zeros(len(x)).to(x))
        ridge = self.config.ridge_novel if self.session else self.config.ridge_base
        return covariance + ridge * covariance.diagonal().mean() * torch.eye(len(covariance)).to(x)

    def chosen(self, x: Tensor, labels: Tensor, of_text: Tensor) -> float:
        """The share of texts that gets most of the left-out features right."""
        order = torch.randperm(len(labels)).to(labels.device)
        classes = [order[labels[order] == label] for label in labels.unique()]
        out = torch.cat([own[: int(self.config.held_out * len(own)) or int(len(own) > 1)] for own in classes])
        rest = torch.ones(len(labels)).to(labels.device).index_fill(0, out, 0).bool()
        means = self.scaled(class_means(x[rest], labels[rest]))
        shares = [round(number * self.config.step, 9) for number in range(int(1 / self.config.step + 1e-9) + 1)]
        right = [int(((x[out] @ unit(s * of_text + (1 - s) * means).T).argmax(1) == labels[out]).sum()) for s in shares]
        return shares[right.index(max(right))]

    def session_log(self) -> dict[str, float]:
        return {"beta": self.beta}

    def scores(self, features: Tensor) -> Tensor:
        c, x, means, base = self.config, unit(features.double()), self.image_means, self.context.sessions.base
        inverse = torch.linalg.pinv(self.covariance, hermitian=True)
        distances = (x @ inverse * x).sum(1, keepdim=True) - 2 * x @ inverse @ means.T + (means @ inverse * means).sum(1)
        nearest = (x @ self.descriptions.flatten(0, 1).T).unflatten(1, self.descriptions.shape[:2]).amax(2)
        p_mu = (c.scale_mu * x @ unit(self.rows.double()).T).softmax(1)
        p_cov = (-c.scale_cov * distances / x.shape[1]).softmax(1)
        p_nn = (c.scale_nn * nearest).softmax(1)
        return c.alpha * p_mu + (1 - c.alpha) * torch.cat([p_cov[:, :base], p_nn[:, base:]], dim=1)
