"""Text vectors beside stored features: checked, cached, in label order, hidden until their classes are seen, and named where missing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_state

from benchmarks.data.images import ImageSet, load_images
from benchmarks.data.pseudo import pseudo_images
from benchmarks.planning.plan import identities, make_request, of_group, parse_methods
from benchmarks.running.leaves import Search
from benchmarks.running.runner import Runner
from benchmarks.running.validation import copy_of
from benchmarks.system.errors import DataError, UsageError
from benchmarks.system.settings import Settings
from benchmarks.tools import extract
from methods.contract.texts import texts_of
from methods.parts.backbones import build_backbone
from protocols import load_protocol
from protocols.pseudo import pseudo_protocol
from protocols.schema import Data, Protocol
from tests.conftest import TINY
from tests.texts import CLASSES, TEXTS, protocol_with_texts, tensors_with_texts, write_texts

Tensors = dict[str, NDArray[Any]]


@pytest.fixture
def tensors() -> Tensors:
    return tensors_with_texts()


def loaded(root: Path, **data: Any) -> ImageSet:
    return load_images(protocol_with_texts().data.model_copy(update=data), root)


def without(tensors: Tensors, *names: str) -> Tensors:
    return {name: value for name, value in tensors.items() if name not in names}


# The file and its cache


def test_texts_are_read_and_read_again_from_the_cache(tensors: Tensors, tmp_path: Path) -> None:
    write_texts(tmp_path, tensors)
    first, again = loaded(tmp_path), loaded(tmp_path)
    for images in (first, again):
        assert images.texts is not None and images.texts.descriptions is not None
        assert (images.texts.prompts == tensors["text"]).all() and (images.texts.descriptions == tensors["descriptions"]).all()
    assert first.sha256 == again.sha256
    write_texts(tmp_path, without(tensors, "descriptions"))
    alone = loaded(tmp_path)
    assert alone.texts is not None and alone.texts.descriptions is None


def test_a_damaged_cache_of_texts_is_written_anew(tensors: Tensors, tmp_path: Path) -> None:
    write_texts(tmp_path, tensors)
    before = loaded(tmp_path)
    for path in (tmp_path / ".cache").rglob("prompts.npy"):
        np.save(path, 2 * tensors["text"])
    after = loaded(tmp_path)
    assert after.texts is not None and (after.texts.prompts == tensors["text"]).all() and after.sha256 == before.sha256


def test_other_texts_are_another_data_set_and_without_texts_it_is_as_it_was(tensors: Tensors, tmp_path: Path) -> None:
    hashes = []
    for change in (0.0, 1.0):
        write_texts(tmp_path, {**tensors, "text": tensors["text"] + np.float32(change)})
        hashes.append((loaded(tmp_path).sha256, loaded(tmp_path, texts=False).sha256))
    write_texts(tmp_path, {**tensors, "descriptions": tensors["descriptions"] + np.float32(1)})
    hashes.append((loaded(tmp_path).sha256, loaded(tmp_path, texts=False).sha256))
    write_texts(tmp_path, without(tensors, "text", "descriptions"))
    plain = loaded(tmp_path, texts=False)
    assert len({texts for texts, _ in hashes}) == 3 and {of_none for _, of_none in hashes} == {plain.sha256}
    assert plain.texts is None and plain.sha256 not in {texts for texts, _ in hashes}


def test_texts_of_the_first_classes(tensors: Tensors, tmp_path: Path) -> None:
    write_texts(tmp_path, tensors)
    images = loaded(tmp_path, classes=8)
    assert images.texts is not None and images.texts.descriptions is not None
    assert (images.texts.prompts == tensors["text"][:8]).all() and (images.texts.descriptions == tensors["descriptions"][:8]).all()


WRONG: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"text": np.ones((CLASSES, 16))}, {}, "text must be float32, and is float64"),
    ({"text": np.ones((CLASSES - 1, 16), np.float32)}, {}, "text must have the shape [10, 16]"),
    ({"text": np.full((CLASSES, 16), np.nan, np.float32)}, {}, "text holds numbers that are not finite"),
    ({"text": np.zeros((CLASSES, 16), np.float32)}, {}, "text holds a vector of length 0"),
    ({"descriptions": np.ones((CLASSES, 16), np.float32)}, {}, "descriptions must have the shape [10, 1, 16]"),
    ({"descriptions": np.ones((CLASSES, 0, 16), np.float32)}, {}, "descriptions must have the shape [10, 1, 16]"),
    ({"descriptions": np.ones((CLASSES, 2, 15), np.float32)}, {}, "descriptions must have the shape [10, 2, 16]"),
    ({"descriptions": np.full((CLASSES, 2, 16), np.inf, np.float32)}, {}, "descriptions holds numbers that are not finite"),
    ({"descriptions": np.zeros((CLASSES, 2, 16), np.float32)}, {}, "descriptions holds a vector of length 0"),
    ({}, {"texts": TEXTS}, "must hold the tensors test, test_ids, test_labels, text, train, "),
    ({}, {"texts": {**TEXTS, "longest": 78}}, "a prompt of 78 tokens is cut to the context of 77"),
    ({}, {"texts": None}, "features.json: tells of no text vectors, and the protocol says texts: true (docs/DATA.md)"),
]


@pytest.mark.parametrize(("change", "sidecar", "said"), WRONG, ids=[said for *_, said in WRONG])
def test_wrong_texts_are_named(tensors: Tensors, tmp_path: Path, change: Tensors, sidecar: dict[str, Any], said: str) -> None:
    write_texts(tmp_path, {**tensors, **change}, **sidecar)
    with pytest.raises(DataError) as caught:
        loaded(tmp_path)
    assert said in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_texts_go_with_stored_features() -> None:
    with pytest.raises(ValidationError, match="needs source: features"):
        Data.model_validate({"source": "digits", "size": 8, "channels": 1, "mean": [0.5], "std": [0.5], "texts": True})


# Who gets them


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    write_texts(folder, tensors_with_texts())
    return folder


def entered(root: Path, protocol: Protocol, method: str = "bimc", images: ImageSet | None = None) -> Any:
    [identity] = identities(make_request(protocol, None, None, "0", method, []))
    return Runner(protocol, Settings(root, root / "results", "cpu", 1), images).enter(identity)


def rows_in(vectors: NDArray[Any], held: Any) -> set[int]:
    """Which of these vectors are among the last axis of anything held, also in the memory behind a view."""
    found: set[int] = set()
    for leaf in Search(set()).leaves(held, "held"):
        if isinstance(leaf.value, torch.Tensor) and leaf.value.is_floating_point():
            behind = torch.empty(0, dtype=leaf.value.dtype).set_(leaf.value.untyped_storage()).double().numpy()
        elif isinstance(leaf.value, np.ndarray) and leaf.value.dtype.kind == "f":
            behind = leaf.value.astype(np.float64).ravel()
        else:
            continue
        first = vectors.reshape(len(vectors), -1)[:, 0]
        found |= {row for row, number in enumerate(first) if np.isclose(behind, number, rtol=0, atol=1e-7).any()}
    return found


def test_a_method_gets_the_texts_of_classes_seen_in_label_order_and_can_reach_no_later_one(root: Path, tensors: Tensors) -> None:
    contender = entered(root, protocol_with_texts())
    order, context = contender.seed_context.split.order, contender.strategy.context
    assert order != tuple(range(CLASSES))
    for session, seen in enumerate((6, 8, 10)):
        contender.open(session)
        texts = texts_of(context)
        assert texts.descriptions is not None
        assert (texts.prompts.numpy() == tensors["text"][list(order[:seen])]).all()
        assert (texts.descriptions.numpy() == tensors["descriptions"][list(order[:seen])]).all()
        for name in ("text", "descriptions"):
            assert rows_in(tensors[name], context) == set(order[:seen])


def test_what_a_method_does_to_its_texts_stays_with_it(root: Path, tensors: Tensors) -> None:
    contender = entered(root, protocol_with_texts())
    contender.open(0)
    texts_of(contender.strategy.context).prompts.zero_()
    contender.open(1)
    assert (texts_of(contender.strategy.context).prompts.numpy() == tensors["text"][list(contender.seed_context.split.order[:8])]).all()


def test_texts_of_a_fold_are_those_of_the_classes_seen(root: Path, tensors: Tensors) -> None:
    """Selection val: copies of a method train without some of the shots."""
    contender = entered(root, protocol_with_texts(), "ft_cnn")
    contender.train(0, 0)
    contender.open(1)
    own = torch.from_numpy(contender.seed_context.split.train[1])
    fold = copy_of(contender, own[1:], 0)
    order = contender.seed_context.split.order
    assert (texts_of(fold.context).prompts.numpy() == tensors["text"][list(order[:8])]).all()


def test_pseudo_sessions_have_the_texts_of_their_classes(root: Path, tensors: Tensors) -> None:
    protocol = protocol_with_texts()
    images = load_images(protocol.data, root)
    small = pseudo_images(protocol, images, "paper", 0)
    order = entered(root, protocol).seed_context.split.order
    assert small.texts is not None and (small.texts.prompts == tensors["text"][list(order[:6])]).all()
    assert images.texts is not None
    other = replace(images, texts=None, sha256="other")
    assert pseudo_images(protocol, other, "paper", 0).texts is None
    assert pseudo_images(protocol, other, "paper", 0).sha256 != small.sha256
    pseudo = pseudo_protocol(protocol, "paper")
    contender = entered(root, pseudo, images=small)
    contender.train(0, 0)
    assert (texts_of(contender.strategy.context).prompts.numpy() == tensors["text"][list(order[:4])]).all()


# Who needs them


def test_who_needs_texts_takes_part_where_there_are_some(tiny: Protocol) -> None:
    with_texts = protocol_with_texts()
    assert "bimc" not in of_group("modern") and "bimc" in of_group("modern", texts=True)
    for protocol, there in ((tiny, False), (protocol_with_texts(texts=False), False), (with_texts, True)):
        assert ("bimc" in {name for name, *_ in parse_methods("modern", protocol)}) is there
    assert [name for name, *_ in parse_methods("bimc", tiny)] == ["bimc"]


@pytest.mark.parametrize("texts", [None, False])
def test_who_needs_texts_is_refused_without_before_anything_runs(texts: bool | None, tiny: Protocol) -> None:
    protocol = tiny if texts is None else protocol_with_texts(texts=texts)
    with pytest.raises(UsageError) as caught:
        identities(make_request(protocol, None, None, "0", "proto,bimc", []))
    assert str(caught.value).startswith(f"{protocol.name} has no text vectors of its classes, and bimc:default needs them")
    assert "docs/DATA.md" in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_asking_a_context_without_texts_says_so(root: Path) -> None:
    contender = entered(root, protocol_with_texts(texts=False), "proto")
    contender.open(0)
    with pytest.raises(ValueError, match=r"the data has no text vectors; docs/DATA\.md"):
        texts_of(contender.strategy.context)


# The command that writes features


def test_the_command_takes_text_vectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They stand in the file, in the sidecar and in the protocol; wrong ones are named, and nothing is written."""
    (tmp_path / "weights").mkdir()
    save_state(build_backbone("conv2", 1).state_dict(), tmp_path / "weights" / "conv2.safetensors")
    text = np.random.default_rng(0).normal(size=(10, 64)).astype(np.float32)
    facts = tmp_path / "facts.json"
    names = [str(digit) for digit in range(10)]
    facts.write_text(json.dumps({**TEXTS, "class_names": names}))
    line = ["--protocol", str(TINY), "--data-root", str(tmp_path), "--out", str(tmp_path / "digits"), "--novel-seen", "no"]
    line += ["--backbone", "conv2", "--weights", "conv2.safetensors", "--mean", "0.3", "--std", "0.4", "--pretrained", "noise"]
    line += ["--texts", str(tmp_path / "text.safetensors"), str(tmp_path / "facts.json")]
    for wrong, said in (
        ({"text": text[:9]}, "text must have the shape [10, 64]"),
        ({"words": text}, "must hold text, and holds words"),
    ):
        save_file(wrong, tmp_path / "text.safetensors")
        assert extract.main(line) == 2 and not (tmp_path / "digits").exists()
        error = capsys.readouterr().err
        assert f"text.safetensors: {said}" in error and len(error.splitlines()) == 1
    save_file({"text": text[::-1].copy()}, tmp_path / "text.safetensors")
    other = {"class_names": [*names[:9], "ten"]}
    for stated, said in (({}, "class_names: is required"), (other, "must be those of the data set; '9' is in one of the two alone")):
        facts.write_text(json.dumps({**TEXTS, **stated}))
        assert extract.main(line) == 2
        assert said in capsys.readouterr().err
    facts.write_text(json.dumps({**TEXTS, "class_names": names[::-1]}))  # rows are joined by name
    assert extract.main(line) == 0
    protocol = load_protocol(str(tmp_path / "digits" / "digits.yaml"))
    found = load_images(protocol.data, tmp_path).texts
    assert found is not None and (found.prompts == text).all() and found.descriptions is None
    assert identities(make_request(protocol, None, None, "0", "bimc", []))
