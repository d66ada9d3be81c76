"""What everything stands on: backend, parameters, workspace, files, errors, cores, progress."""
