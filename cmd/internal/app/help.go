package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
)

// help explains the program, or one command.
func help(args []string, std streams) int {
	if len(args) > 1 {
		fmt.Fprintf(std.err, "coatcheck help: one command at a time, not %q.\n", args)
		return exitUsage
	}
	if len(args) == 0 || args[0] == "help" {
		overview(std.out)
		return exitDone
	}
	for _, c := range commands() {
		if c.name == args[0] {
			c.explain(std.out)
			return exitDone
		}
	}
	fmt.Fprintf(std.err, "coatcheck help: there is no command %q.\n\n", args[0])
	overview(std.err)
	return exitUsage
}

func overview(w io.Writer) {
	fmt.Fprint(w, "Coatcheck: sessions you can look at.\n\nUsage:\n\n  coatcheck COMMAND [ARGUMENTS]\n\nCommands:\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.about)
	}
	fmt.Fprintf(w, "  %-10s %s\n", "help", "explain a command: coatcheck help COMMAND")
	fmt.Fprint(w, "\nTo see what it is about: coatcheck demo\n")
}

// explain prints all about a command. The flags are those that the command
// declares when it is run with -h.
func (c command) explain(w io.Writer) {
	fmt.Fprintf(w, "coatcheck %s: %s\n\nUsage:\n\n", c.name, c.about)
	for way := range strings.SplitSeq(c.synopsis, "\n") {
		fmt.Fprintln(w, strings.TrimRight("  coatcheck "+c.name+" "+way, " "))
	}
	flags := c.flags()
	if err := c.run(context.Background(), flags, []string{"-h"}, streams{out: io.Discard, err: io.Discard}); errors.Is(err, flag.ErrHelp) {
		first := true
		flags.VisitAll(func(f *flag.Flag) {
			if first {
				fmt.Fprint(w, "\nFlags:\n\n")
				first = false
			}
			value, about := flag.UnquoteUsage(f)
			fmt.Fprintf(w, "  %-22s %s", "--"+f.Name+" "+value, about)
			if f.DefValue != "" && f.DefValue != "false" {
				fmt.Fprintf(w, " (default %s)", f.DefValue)
			}
			fmt.Fprintln(w)
		})
	}
	if c.more != "" {
		fmt.Fprintf(w, "\n%s\n", c.more)
	}
}
