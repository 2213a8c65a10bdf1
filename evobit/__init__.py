"""The command line, config loading and error reporting; holds no method of its own.

`main` lists the commands, of which `commands/` has one a file, each importing what it needs when it
is called. `config` reads YAML and --set, `options` are shared by commands, `named_space` is a space
told on the command line. `completion` tells a shell what can be typed next, `examples` end the
help. `output` prints, `errors` ends a program in one line, `resuming` says what a run folder would
do, `checks` is `evobit doctor`'s, `watch/` follows runs and mirrors them.
"""
