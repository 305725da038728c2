#!/bin/sh
# Takes the place of the program in tests: does what the file says that takes the place of the run's
# settings (`swarm start FILE …`) or of the ticket (`swarm join FILE …`).
. "$3"
