"""What happened: files of records, replay of verdicts, drift."""
