"""What the checks share: records, worker processes, expectations, options and reports."""
