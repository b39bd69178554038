"""Further commands: choosing hyper-parameters, checking the records in results/, measuring speed."""
