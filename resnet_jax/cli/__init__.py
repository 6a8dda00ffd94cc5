"""The command line: `main` reads the arguments; a file for each command."""
