"""The command line, config loading and error reporting; holds no method of its own."""
