"""The page at /ui as Gradio makes it: a process of its own, which asks the server over HTTP as any client does.

It is the only part that imports Gradio, and the server imports nothing of it.
"""
