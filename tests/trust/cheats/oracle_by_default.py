"""No cheat: a method that lets test images choose its epoch, and says so. Its rows are marked."""

from methods.contract import SessionStrategy, TrainConfig
from methods.contract.config import Selection


class OracleByDefault(SessionStrategy):
    """Its default is `oracle_test`; the runner grants test accuracies, and the table shows a dagger."""

    title = "Oracle"

    class Config(TrainConfig):
        epochs: int = 2
        selection: Selection = "oracle_test"
