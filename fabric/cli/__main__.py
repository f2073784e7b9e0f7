"""Run the command line as `python -m fabric.cli`.

Knows nothing of commands.
"""

from fabric.cli.main import main

main()
