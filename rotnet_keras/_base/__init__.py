"""What everything stands on: checks, errors, files, templates."""
