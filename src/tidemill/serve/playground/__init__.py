"""The page at /ui, where people try a model: examples, an answer with its scores, and "that is wrong" as feedback.

It is HTML, CSS and JavaScript out of the package, and asks the addresses that every client asks. It knows bundles and
nothing of what serves them.
"""
