"""Stored features as data: each way in which others' features went wrong is refused or recorded, and shuffled rows change nothing."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors.numpy import load_file, save_file

from benchmarks.data.images import load_images
from benchmarks.data.sources.features import FILE, SIDECAR, packed_ids
from benchmarks.planning.plan import identities, make_request
from benchmarks.report.frame import label_of
from benchmarks.report.printed import network_of, origin_of
from benchmarks.report.tables import marked
from benchmarks.running.runner import Runner
from benchmarks.system.errors import DataError, UsageError
from benchmarks.system.settings import Settings
from protocols import load_protocol
from protocols.backbones import Backbone, Weights
from protocols.on_features import protocol_on
from protocols.own_folder import source_of
from protocols.schema import Protocol
from tests.benchmarks.data.stored import NAME, protocol_in

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "lite0.py"
Tensors = dict[str, NDArray[Any]]


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """This test's own copy of the features, to be damaged."""
    folder = tmp_path / NAME
    folder.mkdir()
    for path in (made / NAME).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return tmp_path


def rewrite(root: Path, change: Callable[[Tensors], object], **sidecar: Any) -> None:
    """Changes the tensors and the sidecar, which gets the new file's hash."""
    folder = root / NAME
    tensors = dict(load_file(folder / FILE))
    change(tensors)
    save_file({name: np.asarray(value, order="C") for name, value in tensors.items()}, folder / FILE)
    said = json.loads((folder / SIDECAR).read_text()) | {"sha256": hashlib.sha256((folder / FILE).read_bytes()).hexdigest()} | sidecar
    (folder / SIDECAR).write_text(json.dumps(said))


def fault(root: Path, protocol: Protocol | None = None) -> str:
    with pytest.raises(DataError) as caught:
        load_images((protocol or protocol_in(root)).data, root)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def nothing(tensors: Tensors) -> None:
    """Leaves the tensors as they are."""


# The file


def test_the_order_of_rows_changes_nothing(copied: Path) -> None:
    """Pitfall 8: rows are joined by id."""
    before = load_images(protocol_in(copied).data, copied)

    def shuffle(tensors: Tensors) -> None:
        for part in ("train", "test"):
            order = np.random.default_rng(1).permutation(len(tensors[part]))
            tensors.update({name: tensors[name][order] for name in (part, f"{part}_labels", f"{part}_ids")})

    rewrite(copied, shuffle)
    after = load_images(protocol_in(copied).data, copied)
    assert after.sha256 == before.sha256
    assert (after.plain == before.plain).all() and (after.train_classes == before.train_classes).all()


def put(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Tensors], object]:
    return lambda tensors: tensors.update({name: change(tensors[name])})


def with_first(value: Any) -> Callable[[NDArray[Any]], NDArray[Any]]:
    return lambda array: np.concatenate([np.full_like(array[:1], value), array[1:]])


def twice_numbered(ids: NDArray[Any]) -> NDArray[Any]:
    """The second image with the number of the first and a name of its own."""
    first, second = ids[0].copy(), ids[1].copy()
    second[:7], second[-1] = first[:7], ord("z")
    return np.concatenate([ids[:1], second[None], ids[2:]])


DAMAGE: list[tuple[Callable[[Tensors], object], str]] = [
    (put("train", lambda x: x.astype(np.float16)), "train must be float32, and is float16"),
    (put("test", with_first(np.nan)), "test holds numbers that are not finite"),
    (put("test", with_first(np.inf)), "test holds numbers that are not finite"),
    (put("train", lambda x: np.asarray(x.sum())), "train must have the shape [0, 64]"),
    (put("test", lambda x: x[:, :-1]), r"test must have the shape [599, 64] (data.channels is the number of a feature), and has [599, 63]"),
    (put("train_labels", lambda y: y[:-1]), "must have a row each for the same"),
    (put("train_labels", with_first(10)), "train_labels must be int64 from 0 to 9"),
    (put("train_labels", lambda y: y.astype(np.int32)), "train_labels must be int64"),
    (put("train_ids", lambda ids: np.concatenate([ids[1:2], ids[1:]])), "two rows have the same id"),
    (put("train_ids", with_first(255)), "can't decode"),
    (put("train", lambda x: (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)), "and every feature of train has length 1"),
    (put("train_ids", lambda ids: np.concatenate([np.full_like(ids[:1], ord("x")), ids[1:]])), "does not begin with the number of its"),
    (put("train_ids", lambda ids: twice_numbered(ids)), "train: two ids begin with the same number"),
    (lambda tensors: tensors.pop("test_ids"), "must hold the tensors test, test_ids, test_labels, train"),
    (lambda tensors: tensors.update(text=np.ones((10, 64), np.float32)), "and holds test, test_ids, test_labels, text, train"),
]


@pytest.mark.parametrize(("change", "said"), DAMAGE, ids=[said for _, said in DAMAGE])
def test_a_damaged_file_is_named(copied: Path, change: Callable[[Tensors], object], said: str) -> None:
    """Pitfalls 8 and 9."""
    rewrite(copied, change)
    assert said in fault(copied)


def test_the_order_is_that_of_the_numbers(copied: Path) -> None:
    """As text, image 10 would come before image 9: with files of other programs, another canonical split under the same name."""
    before = load_images(protocol_in(copied).data, copied)

    def unpadded(tensors: Tensors) -> None:
        for part in ("train", "test"):
            numbers = [bytes(row).split()[0] for row in tensors[f"{part}_ids"]]
            tensors[f"{part}_ids"] = packed_ids([f"{int(number)} image{int(number)}.png" for number in numbers])

    rewrite(copied, unpadded, ordered=True)
    after = load_images(protocol_in(copied).data, copied)
    assert (after.plain == before.plain).all() and (after.train_classes == before.train_classes).all()
    assert after.keys == [f"image{number}.png" for number in range(len(after.plain))]
    rewrite(copied, lambda tensors: tensors.update(train_ids=packed_ids([str(n) for n in range(len(tensors["train"]))])), ordered=True)
    assert "ordered: true, and an id has no name of a file after its number" in fault(copied)


def test_lengths_are_held_against_the_flag(copied: Path) -> None:
    protocol = protocol_in(copied)
    said = json.loads((copied / NAME / SIDECAR).read_text())["features"]
    assert protocol.data.features is not None
    unit = protocol.data.features.model_copy(update={"l2": True})
    claims = protocol.model_copy(update={"data": protocol.data.model_copy(update={"features": unit})})
    assert "l2 is False, and the protocol says True" in fault(copied, claims)
    rewrite(copied, nothing, features={**said, "l2": True})
    assert "says l2: true, and the length of a feature of train is" in fault(copied, claims)

    def shorten(tensors: Tensors) -> None:
        for part in ("train", "test"):
            tensors[part] = (tensors[part] / np.linalg.norm(tensors[part], axis=1, keepdims=True)).astype(np.float32)

    rewrite(copied, shorten, features=said)
    assert "says l2: false, and every feature of train has length 1" in fault(copied)


def test_no_code_is_run_and_no_other_file_taken(copied: Path) -> None:
    """Pitfall 9: a pickle is no file of tensors; a file with another hash is not the sidecar's."""
    path = copied / NAME / FILE
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert "is not the file that features.json describes" in fault(copied)
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'false'\ntR.")
    said = json.loads((copied / NAME / SIDECAR).read_text()) | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (copied / NAME / SIDECAR).write_text(json.dumps(said))
    assert "is no file of tensors that can be read here" in fault(copied)
    path.unlink()
    assert fault(copied).endswith("is missing; python -m benchmarks.tools.extract writes it (docs/DATA.md)")


@pytest.mark.parametrize("key", ["format", "features", "sha256", "licence", "pillow", "data", "ordered", "class_names"])
def test_a_sidecar_is_complete(copied: Path, key: str) -> None:
    path = copied / NAME / SIDECAR
    said = json.loads(path.read_text())
    del said[key]
    path.write_text(json.dumps(said))
    assert fault(copied).endswith(f"{key}: is required")


def test_class_names_differ(copied: Path) -> None:
    """Pitfall 7: of two classes with one name, one would never be predicted."""
    rewrite(copied, nothing, class_names=["0", *map(str, range(9))])
    assert "class_names: '0' stands twice" in fault(copied)


TEXTS = {"tokenizer": "clip", "templates": ["a photo of a {}."], "context": 77, "longest": 9}


def test_text_vectors_are_described_and_hidden(copied: Path) -> None:
    """Pitfall 7: no prompt was cut, and no method gets the texts of classes to come: nothing of the loaded data holds them."""
    text = np.random.default_rng(0).normal(size=(10, 64)).astype(np.float32)
    rewrite(copied, lambda tensors: tensors.update(text=text), texts=TEXTS)
    images = load_images(protocol_in(copied).data, copied)
    assert not any(getattr(value, "shape", ()) == text.shape for value in vars(images).values())
    rewrite(copied, nothing, texts={**TEXTS, "longest": 78})
    assert "a prompt of 78 tokens is cut to the context of 77" in fault(copied)
    rewrite(copied, put("text", lambda x: x[:9]), texts=TEXTS)
    assert "text must have the shape [10, 64]" in fault(copied)


# Protocols


def test_a_protocol_holds_for_one_preparation_of_one_network(copied: Path) -> None:
    """Pitfalls 1 and 2: features under another transform, or of other weights, never stand on one page."""
    said = json.loads((copied / NAME / SIDECAR).read_text())["features"]
    for key, other in (("preparation", {**said["preparation"], "mean": [0.5]}), ("weights", "1" * 64), ("novel_seen", "no")):
        rewrite(copied, nothing, features={**said, key: other})
        assert f"{SIDECAR}: {key} is " in fault(copied)


WRONG: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda p: p["data"].pop("features"), "features must be given with source: features"),
    (lambda p: p["data"].pop("path"), "path must be given with source: folder or features"),
    (lambda p: p["data"].update(size=8), "goes with images; leave it out"),
    (lambda p: p["data"].update(mean=[0.5]), "features need neither mean nor std"),
    (lambda p: p["data"].update(train_size=8), "train_size goes with images"),
    (lambda p: p["data"]["features"].update(novel_seen="maybe"), "novel_seen"),
    (lambda p: p["data"]["features"].pop("pretrained"), "pretrained"),
    (lambda p: p["backbone"].update(name="conv2"), "backbone.name: identity goes with data.source: features"),
    (lambda p: p.update(augment={"flip": True}), "stored features cannot be augmented"),
    (lambda p: p["recipes"]["heads"].update(trains="all"), "on stored features a recipe says trains: none"),
    (lambda p: p["recipes"]["heads"].update(stored_views=2), "and no stored_views"),
    (lambda p: p["recipes"]["heads"].update(bases={"cosine": {"stored_views": 2}}), "heads.bases.cosine: on stored features"),
    (lambda p: p["recipes"]["heads"].update(bases={"cosine": {"trains": "all"}}), "heads.bases.cosine: on stored features a recipe says"),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_wrong_protocol_is_refused(made: Path, change: Callable[[dict[str, Any]], object], said: str) -> None:
    content = yaml.safe_load((made / NAME / f"{NAME}.yaml").read_text())
    Protocol.model_validate(copy.deepcopy(content))
    change(content)
    with pytest.raises(ValidationError, match=said):
        Protocol.model_validate(content)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("warp", "it trains the layers of a network"),
        ("s3c", "it changes images before they are embedded"),
        ("ft_cnn", "it augments images"),
        ("closer", "its base kind closer shows several augmented views of an image; leave it out, or write closer@cosine"),
        ("orco", "its base kind contrast shows several augmented views"),
        ("proto@rotations", "its base kind rotations changes images; leave it out"),
        ("fact", "its base kind virtual changes images"),
        ("cec", "its base kind episodes changes images"),
    ],
)
def test_who_needs_images_refuses_before_anything_runs(made: Path, method: str, said: str) -> None:
    changes = ["ft_cnn.augment={flip: true}"] if method == "ft_cnn" else []
    with pytest.raises(UsageError) as caught:
        identities(make_request(protocol_in(made), None, None, "0", f"base_only,{method}", changes))
    assert said in str(caught.value) and len(str(caught.value).splitlines()) == 1


HEADS = "base_only,proto,teen,ranpac,fecam,gkeal,closer@cosine,alice@cosine,adbs,ft_cnn,joint_cnn,icarl,eeil,ncm,topic,lecnet"


def test_all_others_may_run(made: Path) -> None:
    assert len(identities(make_request(protocol_in(made), None, None, "0", HEADS, []))) == len(HEADS.split(","))


def test_rows_on_features_are_those_of_the_frozen_network(made: Path, tiny: Protocol, tmp_path: Path) -> None:
    weights = Weights(file="conv2.safetensors", sha256=hashlib.sha256((made / "weights" / "conv2.safetensors").read_bytes()).hexdigest())
    frozen = tiny.recipes["fast"].model_copy(update={"trains": "none"})
    backbone = Backbone(name="conv2", pretrained="imagenet", weights=weights)
    on_images = tiny.model_copy(update={"backbone": backbone, "recipes": {"fast": frozen}})
    found = []
    for protocol in (on_images, protocol_in(made)):
        [identity] = identities(make_request(protocol, None, "paper", "0", "proto", []))
        found.append(Runner(protocol, Settings(made, tmp_path, "cpu", 1)).run(identity)[0])
    assert found[0].predictions_sha256 == found[1].predictions_sha256
    assert found[1].title == "Proto" and label_of(found[1]) == "Proto (raw_mean) §"


def test_a_page_says_whose_features_these_are(made: Path, make_record: Callable[..., Any]) -> None:
    """Pitfall 10: pre-training and what it has seen stand on the page, and a mark beside every row."""
    data = protocol_in(made).data
    record = make_record("proto:raw_mean", data=data.model_dump(mode="json"), backbone={"name": "identity"})
    said = "pre-trained on noise, **which may have seen the novel classes**"
    assert label_of(record).endswith(" §") and said in marked([record])[0]
    assert origin_of(Backbone(name="identity"), data).endswith(said) and network_of(record.identity).startswith(
        "none, on stored features of conv2 ("
    )
    assert data.features is not None
    clean = data.model_copy(update={"features": data.features.model_copy(update={"novel_seen": "no"})})
    other = make_record("proto:raw_mean", data=clean.model_dump(mode="json"), backbone={"name": "identity"})
    assert not label_of(other).endswith("§") and marked([other]) == []


def test_ids_are_read_as_they_were_written() -> None:
    assert [bytes(row).rstrip(b"\0").decode() for row in packed_ids(["a", "ä b"])] == ["a", "ä b"]


def test_cub_on_features_differs_from_its_images_in_nothing_else() -> None:
    """The shipped protocol is what the command writes for cub200-resnet18b, less what its recipe says of kinds that need images."""
    shipped, images = load_protocol("cub200-features"), load_protocol("cub200-resnet18b")
    facts, weights = shipped.data.features, images.backbone.weights
    assert facts is not None and weights is not None
    written = Protocol.model_validate(protocol_on(images, facts, shipped.data.channels, PurePath("cub200-features")))
    left_out = {"title", "notes", "recipes"}
    assert shipped.model_dump(exclude=left_out) == written.model_dump(exclude=left_out)
    here, there = (protocol.recipes["quick"] for protocol in (shipped, written))
    assert here.shared == there.shared
    assert here.methods == {name: values for name, values in there.methods.items() if name in here.methods}
    assert (facts.weights, facts.preparation.mean, facts.preparation.std) == (weights.sha256, images.data.mean, images.data.std)


def test_two_networks_see_cub_under_one_protocol() -> None:
    """The second one differs in what is said of its features alone, and names the file of docs/examples that holds it."""
    first, second = load_protocol("cub200-features"), load_protocol("cub200-lite0")
    left_out = {"name", "title", "notes", "data"}
    assert first.model_dump(exclude=left_out) == second.model_dump(exclude=left_out)
    facts = second.data.features
    assert facts is not None and facts.network == f"module:lite0 (source {source_of(EXAMPLE)[:16]})"
    assert facts.novel_seen == "possible"
