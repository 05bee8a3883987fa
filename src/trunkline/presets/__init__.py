"""Presets: parse a request body into a preset, and encode a preset as a request of any client dialect. Pure.

A preset stores its fields under chat's names, with values in chat's form (`from_body`). Fields that chat does not have
keep their own name (`thinking`, `truncation`). The preset is encoded in the dialect of the request that uses it
(`to_dialect`), then merged into that request field by field (`merge`). A preset created with a body of any dialect can
therefore be used in all three.
"""
