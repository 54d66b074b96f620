"""Whatever is computed is a job, as data; finished jobs are kept and found again.

trial      preset x options x recipe, trained into a run folder
probe      one measurement of a trained network, by its word, with its arguments
log        the append-only list of finished measurements
bench      carries jobs out on given data, in the store that all studies share
plan       what is wanted, what is done already, what the rest costs
executors  where jobs are carried out: in this process or in several

Importing these modules loads no torch; carrying a job out does.
"""
