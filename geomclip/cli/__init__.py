"""The command line: one file a command. Parses first, imports torch after."""
