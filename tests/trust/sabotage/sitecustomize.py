"""Python imports this before anything else, in the command and in every worker that it spawns."""

from __future__ import annotations

import json
import os
import sys

if "SABOTAGE" in os.environ:
    from saboteur import OftenFinder, Plan, Saboteur, Telling

    plan = Plan(**json.loads(os.environ["SABOTAGE"]))
    saboteur = Saboteur()
    saboteur.take(plan)
    sys.stderr = Telling(sys.stderr, saboteur)
    if plan.checkpoints:
        sys.meta_path.insert(0, OftenFinder())
