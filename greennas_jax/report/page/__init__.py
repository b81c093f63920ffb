"""The report of a run, or of a study of many, as one HTML file that needs nothing else."""
