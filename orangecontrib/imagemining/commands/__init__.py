"""What the command line can do, one file a command.

Each has ``HELP`` and ``DESCRIPTION``, ``fill(parser)`` that adds its arguments, and
``run(options)`` that does it and returns the exit status. Nothing that takes long to
load is imported before it is needed.
"""
