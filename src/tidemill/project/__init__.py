"""The composition root: puts stages, backends and configuration together.

Each module is one part of the loop as plain functions over a `Layout`: `scaffold`, `data`, `training`, `models`,
`serving`, `watching`, `tracing`. The command line and the examples call these; nothing else does.
"""
