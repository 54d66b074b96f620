"""Every flag of every command and every byte of every file, made wrong.

place   a finished run, an unfinished one, a study and tiny images, made once
cases   what is tried: hypothesis draws it, so that a case follows from the seed
child   a command in a forked process, under limits, and what is wrong with how it ended
"""
