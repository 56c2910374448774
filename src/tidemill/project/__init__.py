"""The composition root: puts stages, backends and configuration together.

Each module is one part of the loop as plain functions over a `Layout`: `data`, `training`, `models`, `serving`,
`watching`. The command line and the examples call these; nothing else does.
"""
