"""The literature's recipes, one file a kind of network.

Where a paper and its code differ there are two: NAME is the paper's, NAME-code the code's, and the
source says so. Milestones are whole epochs done: a paper's "at epoch 150" is 150, and a code that
tests epoch >= 150, counted from 1, drops after 149.
"""
