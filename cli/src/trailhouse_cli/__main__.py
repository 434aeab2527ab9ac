"""`python -m trailhouse_cli` is the command `trailhouse`."""

from trailhouse_cli.main import main

main()
