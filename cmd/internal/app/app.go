// Package app is the program coatcheck without its process: [Run] takes the
// arguments and the streams, and returns the exit status.
//
// Each subcommand is one file with one entry in the table of commands below:
// demo.go, sessions.go, version.go. What they print about themselves is made
// of that table.
package app

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// The exit statuses of Run.
const (
	exitDone   = 0
	exitFailed = 1 // it was understood, and did not work
	exitUsage  = 2 // it was not understood
)

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// command is one subcommand.
type command struct {
	name     string
	synopsis string // the arguments, a line for each way to call it
	about    string // one line
	more     string // what help adds
	run      func(ctx context.Context, flags *flag.FlagSet, args []string, std streams) error
}

func commands() []command {
	return []command{demoCommand(), sessionsCommand(), versionCommand()}
}

// errUsage is wrapped by errors that say a command was called wrongly.
var errUsage = errors.New("wrong usage")

func usagef(format string, values ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, values...))
}

// Run runs the program with the arguments after its name, and returns its exit
// status: 0 if it did what was asked, 1 if that failed, 2 if it was not
// understood. It returns soon after the context ends.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	std := streams{stdin, stdout, stderr}
	if len(args) == 0 {
		overview(stderr)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		return help(rest, std)
	case "-version", "--version":
		name = "version"
	}
	for _, c := range commands() {
		if c.name == name {
			return c.call(ctx, rest, std)
		}
	}
	fmt.Fprintf(stderr, "coatcheck: there is no command %q.\n\n", name)
	overview(stderr)
	return exitUsage
}

// call runs a command and says what went wrong.
func (c command) call(ctx context.Context, args []string, std streams) int {
	flags := c.flags()
	err := c.run(ctx, flags, args, std)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, flag.ErrHelp):
		c.explain(std.out)
		return exitDone
	case errors.Is(err, errUsage):
		said := strings.TrimSpace(strings.TrimPrefix(err.Error(), errUsage.Error()+": "))
		fmt.Fprintf(std.err, "coatcheck %s: %s\n\nSee `coatcheck help %s`.\n", c.name, said, c.name)
		return exitUsage
	}
	fmt.Fprintf(std.err, "coatcheck %s: %v\n", c.name, err)
	return exitFailed
}

func (c command) flags() *flag.FlagSet {
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // call says what was wrong, in one voice
	return flags
}

// oneDash is a flag as package flag spells it in its errors. Here they have two
// dashes everywhere.
var oneDash = regexp.MustCompile(`(: | for )-(\w)`)

// parse reads flags before, between and after the other arguments, which it
// returns.
func parse(flags *flag.FlagSet, args []string) (others []string, err error) {
	for {
		if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
			return nil, err
		} else if err != nil {
			return nil, usagef("%s", oneDash.ReplaceAllString(err.Error(), "$1--$2"))
		}
		if flags.NArg() == 0 {
			return others, nil
		}
		others, args = append(others, flags.Arg(0)), flags.Args()[1:]
	}
}
