"""A cheat that helps itself: the runner's own evaluator, with all test images."""

from methods.contract import SessionStrategy


class ImportsTheRunner(SessionStrategy):
    """By an import that is not even at the top of its file."""

    title = "Imports the runner"

    def after_session(self) -> None:
        from benchmarks.data.images import load_images

        load_images  # noqa: B018
