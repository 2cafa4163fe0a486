"""What runs did, as a page to read, print and send.

`build` makes it of what `reading` found: the tables of `results`, the figures of `plots`. Profiles
and predictions of memory share `page`, its template, and `drawing`.
"""
