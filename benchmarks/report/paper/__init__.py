"""Tables as numbers, for papers and for other programs: LaTeX, CSV, Parquet."""

from benchmarks.report.paper.tables import PaperTable, tables_of_section, tables_of_study
from benchmarks.report.paper.writing import CURVES, FORMATS, check_format, encoded

__all__ = ["CURVES", "FORMATS", "PaperTable", "check_format", "encoded", "tables_of_section", "tables_of_study"]
