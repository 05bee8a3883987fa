"""Presets: a request's body read into one, and one said in a request of any client dialect. Pure.

A preset keeps its fields under the names that chat has for them, values in chat's shape (`read`). What chat has no
name for stays under its own (`thinking`, `truncation`). It is said again in the words of the dialect that a request is
made in (`say`), and then merged into that request field by field (`merge`). So a preset that was made with a body of
any dialect serves all three.
"""
