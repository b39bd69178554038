"""Which bad-looking values make sense after all, key by key, of the complete protocol in tests/trust/complete.yaml."""

from __future__ import annotations

OPTIONAL = {"missing"}
OR_NONE = {"missing", "null"}
WORDS = {"words", "number as text", "non-ASCII"}
PATHLIKE = {"absolute", "backslashes", "home", "in and out", "parent"}  # where they are text and no path
AS_TEXT = {"number as text"}  # '3' is 3

SENSIBLE: dict[str, set[str]] = {
    "title": WORDS | PATHLIKE,
    "data.path": WORDS,
    "data.classes": OR_NONE,
    "data.train_size": OR_NONE,
    "data.channels": OPTIONAL | AS_TEXT,
    "data.mean": {"zero"},
    "data.std": {"fraction"} | AS_TEXT,
    "data.texts": OPTIONAL | {"zero"},
    "augment": OPTIONAL | {"empty mapping"},
    "augment.pad": OPTIONAL | AS_TEXT | {"zero"},
    "augment.flip": OPTIONAL | {"true", "zero"},
    "augment.jitter": OPTIONAL | {"zero"},
    "augment.hue": OPTIONAL | {"zero"},
    "augment.jitter_p": OPTIONAL,
    "augment.ratio": OPTIONAL | AS_TEXT | {"fraction"},
    "augment.crop_or_resized": {"true"},
    "augment.autoaugment_p": OPTIONAL,
    "augment.grey": OPTIONAL | {"zero"},
    "augment.cutout": OPTIONAL | AS_TEXT | {"zero"},
    "sessions.base": AS_TEXT,
    "sessions.way": AS_TEXT,
    "sessions.count": AS_TEXT | {"zero"},
    "sessions.shots": {"million"},  # a data set may have them
    "backbone.pretrained": OR_NONE | WORDS | PATHLIKE,  # text beside weights of one's own
    "backbone.weights": OR_NONE,
    "backbone.weights.mean": OR_NONE,
    "backbone.weights.std": OR_NONE,
    "backbone.weights.novel_seen": OR_NONE,
    "printed": OR_NONE,
    "recipes.first.epochs": AS_TEXT,
    "recipes.first.lr": AS_TEXT | {"fraction", "million"},
    "recipes.paper.like": OR_NONE,
    "recipes.paper.epochs": OPTIONAL | AS_TEXT,
    "recipes.paper.batch": OPTIONAL | AS_TEXT | {"million"},  # all of a large data set
    "recipes.paper.lr": OPTIONAL | AS_TEXT | {"fraction", "million"},  # the run says that its loss is no number
    "recipes.paper.momentum": OPTIONAL,
    "recipes.paper.nesterov": OPTIONAL | {"true", "zero"},
    "recipes.paper.weight_decay": OPTIONAL | AS_TEXT | {"fraction", "million", "zero"},
    "recipes.paper.schedule": OPTIONAL,
    "recipes.paper.milestones": OPTIONAL | AS_TEXT | {"empty list", "list"},
    "recipes.paper.gamma": OPTIONAL,
    "recipes.paper.warmup": OPTIONAL,
    "recipes.paper.dampening": OPTIONAL | {"zero"},
    "recipes.paper.optimizer": OPTIONAL,
    "recipes.paper.floor": OPTIONAL | {"zero"},
    "recipes.paper.ramp_epochs": OPTIONAL | AS_TEXT | {"zero", "fraction"},
    "recipes.paper.ramp_from": OPTIONAL | {"zero"},
    "recipes.paper.head_gain": OPTIONAL | AS_TEXT | {"fraction", "million"},
    "recipes.paper.precision": OPTIONAL,
    "recipes.paper.trains": AS_TEXT,
    "recipes.paper.stored_views": OR_NONE | AS_TEXT,
    "recipes.paper.bases": OPTIONAL | {"empty mapping"},
    "recipes.paper.bases.projected": OPTIONAL | {"empty mapping"},
    "recipes.paper.bases.projected.lr": OPTIONAL | AS_TEXT | {"fraction", "million"},
    "recipes.paper.bases.projected.epochs": OPTIONAL | AS_TEXT,
    "recipes.paper.methods": OPTIONAL | {"empty mapping"},
    "recipes.paper.methods.ft_cnn": OPTIONAL | {"empty mapping"},
    "recipes.paper.methods.ft_cnn.lr": OPTIONAL | AS_TEXT | {"fraction", "million"},
    "recipes.paper.methods.ft_cnn.epochs": OPTIONAL | AS_TEXT | {"zero"},
    "recipes.paper.methods.ft_cnn.milestones": OPTIONAL | AS_TEXT | {"empty list", "list"},
    "splits": OPTIONAL,
    "seeds": OPTIONAL | AS_TEXT,
    "methods": OR_NONE,
    "without": OPTIONAL | {"empty list"},
    "canonical": OR_NONE,
    "canonical.base_train": AS_TEXT | {"million"},
    "canonical.base_test": AS_TEXT | {"million"},
    "canonical.shots_sha256": OR_NONE,
    "notes": OPTIONAL | WORDS | PATHLIKE | {"blank", "empty", "line break"},
}
