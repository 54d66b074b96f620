"""One family a file: functions from numbers to a network."""
