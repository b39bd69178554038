"""Ways to damage a cache file, and to forge one whose hashes are right."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def cut(share: float) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content[: int(share * len(content))])

    return damage


def flip(share: float) -> Callable[[Path], None]:
    """One bit of the byte that lies at this share of the file."""

    def damage(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[min(int(share * len(content)), len(content) - 1)] ^= 1
        path.unlink()
        path.write_bytes(content)

    return damage


def dangling(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.with_name("nowhere"))


def bytes_of(content: bytes) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.unlink()
        path.write_bytes(content)

    return damage


def appended(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content + b"\n")


def signed(body: bytes) -> bytes:
    """A base cache's file of any body, whose hash is right."""
    return hashlib.sha256(body).digest() + body


DAMAGES: dict[str, Callable[[Path], None]] = {
    "empty": cut(0),
    "cut in the head": cut(0.02),
    "cut in half": cut(0.5),
    "cut near the end": cut(0.99),
    "bit of the hash": flip(0),
    "bit of the head": flip(0.02),
    "bit in the middle": flip(0.5),
    "last bit": flip(1),
    "longer": appended,
    "dangling link": dangling,
    "text": bytes_of(b"hello\n"),
    "hash of nothing": bytes_of(signed(b"")),
    "hash of a short body": bytes_of(signed(b"\xff" * 7)),
    "hash of a header that is a list": bytes_of(signed((2).to_bytes(8, "little") + b"[]")),
    "hash of a deep header": bytes_of(signed((200_000).to_bytes(8, "little") + b"[" * 200_000)),
    "hash of an endless header": bytes_of(signed(b"\xff" * 8 + b"{}")),
    "hash of metadata that is text": bytes_of(signed((18).to_bytes(8, "little") + b'{"__metadata__":1}')),
}


def reindexed(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the index of an image cache, and make all its hashes right again."""
    _, _, text = (folder / "index.json").read_text(encoding="utf-8").partition(" ")
    index = json.loads(text)
    change(index)
    if isinstance(index["sha256"], dict):
        for name in index["sha256"]:
            index["sha256"][name] = hashlib.sha256((folder / f"{name}.npy").read_bytes()).hexdigest()
    text = json.dumps(index)
    (folder / "index.json").write_text(f"{hashlib.sha256(text.encode()).hexdigest()} {text}", encoding="utf-8")


def replaced_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def copied_from(other: Path) -> Callable[[Path], object]:
    return lambda path: shutil.copy(other, path)
