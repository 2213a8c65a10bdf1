"""A packed network as plain data: operations, and their parameters.

`plan` are the operations and what is valid, `parameters` their bits and numbers, `text` the plan as
JSON, `module` the same plan in torch, `preprocessing` what happens to pixels before it.
"""
