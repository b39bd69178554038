"""Commands beside a sweep: choosing parameters, checking what stands in results/, measuring speed."""
