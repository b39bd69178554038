"""Calls and imports by which a file could be run, found in source text."""

from __future__ import annotations

import ast

MODULES = {"marshal", "shelve", "dill", "cloudpickle", "joblib", "code", "runpy"}
FORBIDDEN = {"eval", "exec", "unsafe_load", "full_load", "load_all", "system", "popen", "unpack_archive"}
EXTRACTORS = {"extract_archive", "download_and_extract_archive", "extract"}
SAFE_LOADERS = {"Reader", "SafeLoader", "CSafeLoader"}


def unsafe_calls(source: str) -> list[str]:
    """`line 3: torch.load without weights_only=True`, and so on."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [f"line {node.lineno}: imports {name}" for name in names if name.partition(".")[0] in MODULES]
            if isinstance(node, ast.ImportFrom) and node.module == "pickle":
                found.append(f"line {node.lineno}: imports from pickle")
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle" and not node.attr.endswith("Error"):
            found.append(f"line {node.lineno}: pickle.{node.attr}")
        elif isinstance(node, ast.Call) and (fault := fault_of(node)):
            found.append(f"line {node.lineno}: {fault}")
    return found


def fault_of(call: ast.Call) -> str:
    name = ast.unparse(call.func)
    last = name.rpartition(".")[2]
    named = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    if last in FORBIDDEN and not (last == "eval" and "." in name):  # a network's eval() runs nothing
        return name
    if name == "yaml.load" and (named.get("Loader", "").rpartition(".")[2] not in SAFE_LOADERS or len(call.args) > 1):
        return "yaml.load without a safe loader"
    if name == "torch.load" and named.get("weights_only") != "True":
        return "torch.load without weights_only=True"
    if named.get("allow_pickle", "False") != "False" or named.get("shell", "False") != "False":
        return f"{name} with allow_pickle or shell"
    if last == "extractall" and named.get("filter") != "'data'" and name != "pack.extractall":
        return f"{name} without filter='data'"  # `pack` is a ZipFile, which leaves out .. and roots by itself
    if last in EXTRACTORS or named.get("download", "False") != "False":
        return f"{name}: unpacks unfiltered inside torchvision"
    return ""
