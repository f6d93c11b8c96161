"""Tools that know no business word: money, time, ids, errors, settings, database, jobs, HTTP, logs."""
