"""Every flag of every command and every byte of every file, made wrong.

place   a finished run, an unfinished one, a study and tiny images, made once
models  a model of transformers, one of a function, what was pruned and dissected of them
ground  a copy of all that, laid anew for every case, and what harm comes to it
words   right and wrong words, and the files that commands read
cases   what is tried: hypothesis draws it, so that a case follows from the seed
child   a command in a forked process, under limits, and what is wrong with how it ended
"""
