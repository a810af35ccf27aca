package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/cmd/internal/stores"
)

// sessionsFlags are what the command can be told.
type sessionsFlags struct {
	store, name, subject string
	all, yes, json       bool
}

func sessionsCommand() command {
	return command{
		name: "sessions",
		synopsis: `list --store STORE [--subject SUBJECT] [--json]
end --store STORE ID...
end --store STORE --subject SUBJECT
end --store STORE --all [--yes]
stats --store STORE [--subject SUBJECT]`,
		about: "list and end the sessions in a store",
		more: `list prints a line for each session: id, subject, device, created, last seen,
deadline. end ends these sessions, all of a subject's, or everybody's. stats
counts them. All work while the site runs.

STORE is one of

` + stores.FormsToAttach() + `
What it prints opens no session: an id is a name, not a key.`,
		run: runSessions,
	}
}

func runSessions(ctx context.Context, flags *flag.FlagSet, args []string, std streams) (err error) {
	var f sessionsFlags
	flags.StringVar(&f.store, "store", "", "the sessions are in `STORE`")
	flags.StringVar(&f.name, "name", "", "the `NAME` in the site's coatcheck.Config, if it has one")
	flags.StringVar(&f.subject, "subject", "", "only the sessions of `SUBJECT`")
	flags.BoolVar(&f.all, "all", false, "end: everybody's sessions, of every site in the store")
	flags.BoolVar(&f.yes, "yes", false, "end --all: do not ask")
	flags.BoolVar(&f.json, "json", false, "list: one JSON object a line")
	others, err := parse(flags, args)
	if err != nil {
		return err
	}
	if len(others) == 0 {
		return usagef("say what to do: list, end or stats")
	}
	if err := f.fit(others[0], flags); err != nil {
		return err
	}
	if f.store == "" {
		return usagef("say where the sessions are, with --store and one of\n%s", stores.FormsToAttach())
	}
	kept, err := stores.Attach(ctx, f.store)
	if errors.Is(err, stores.ErrForm) {
		return usagef("%v", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	sessions, err := coatcheck.New(coatcheck.Config{Store: kept, Name: f.name, Logger: slog.New(slog.NewTextHandler(std.err, nil))})
	if err != nil {
		return usagef("%v", err)
	}
	switch verb, rest := others[0], others[1:]; verb {
	case "list":
		return f.list(ctx, sessions, rest, std.out)
	case "end":
		return f.end(ctx, sessions, rest, std)
	default:
		return f.stats(ctx, sessions, rest, std.out)
	}
}

// fit refuses a verb that there is not, and flags that the verb would ignore:
// who gave them expects something else than what would be done.
func (f sessionsFlags) fit(verb string, flags *flag.FlagSet) error {
	takes := map[string]string{
		"list":  "store name subject json",
		"end":   "store name subject all yes",
		"stats": "store name subject",
	}
	known, there := takes[verb]
	if !there {
		return usagef("%q is none of list, end and stats", verb)
	}
	var wrong error
	flags.Visit(func(set *flag.Flag) {
		switch {
		case !slices.Contains(strings.Fields(known), set.Name):
			wrong = usagef("%s takes no --%s", verb, set.Name)
		case set.Name == "subject" && f.subject == "":
			wrong = usagef("--subject is empty: name somebody, or leave it out")
		}
	})
	if wrong == nil && f.yes && !f.all {
		wrong = usagef("--yes goes with --all")
	}
	return wrong
}

// each calls f with every session that was asked for, until f fails.
func (f sessionsFlags) each(ctx context.Context, sessions *coatcheck.Manager, do func(coatcheck.Info) error) error {
	if f.subject != "" {
		infos, err := sessions.List(ctx, f.subject)
		if err != nil {
			return fmt.Errorf("list the sessions of %s: %w", f.subject, err)
		}
		for _, info := range infos {
			if err := do(info); err != nil {
				return err
			}
		}
		return nil
	}
	for info, err := range sessions.All(ctx) {
		if err != nil {
			return fmt.Errorf("list all sessions: %w", err)
		}
		if err := do(info); err != nil {
			return err
		}
	}
	return nil
}

func (f sessionsFlags) list(ctx context.Context, sessions *coatcheck.Manager, rest []string, out io.Writer) error {
	if len(rest) > 0 {
		return usagef("list takes flags only, not %q", rest[0])
	}
	if f.json {
		lines := json.NewEncoder(out)
		return f.each(ctx, sessions, func(i coatcheck.Info) error { return lines.Encode(i) })
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tSUBJECT\tDEVICE\tCREATED\tLAST SEEN\tDEADLINE")
	err := f.each(ctx, sessions, func(i coatcheck.Info) error {
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", i.ID, printable(i.Subject), printable(i.Device), at(i.Created), at(i.LastSeen), at(i.Expires))
		return err
	})
	return errors.Join(err, table.Flush())
}

func at(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// printable is text that a stranger may have chosen, as a terminal may see it.
func printable(text string) string {
	if text == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}

func (f sessionsFlags) end(ctx context.Context, sessions *coatcheck.Manager, rest []string, std streams) error {
	var ids []coatcheck.ID
	for _, text := range rest {
		id, err := coatcheck.ParseID(text)
		if err != nil {
			return usagef("%q is not a session's id, which `coatcheck sessions list` prints", text)
		}
		ids = append(ids, id)
	}
	ways := 0
	for _, chosen := range []bool{len(ids) > 0, f.subject != "", f.all} {
		if chosen {
			ways++
		}
	}
	if ways != 1 {
		return usagef("end takes one of these: ids, --subject SUBJECT, --all")
	}
	var ended int
	var err error
	switch {
	case f.subject != "":
		ended, err = sessions.EndSubject(ctx, f.subject)
	case f.all && !f.yes && !confirmed(std):
		return errors.New("nothing was ended: answer yes, or pass --yes")
	case f.all:
		ended, err = sessions.EndAll(ctx)
	default:
		ended, err = sessions.End(ctx, ids...)
	}
	if err != nil {
		return fmt.Errorf("end sessions: %w", err)
	}
	fmt.Fprintf(std.out, "%d ended\n", ended)
	return nil
}

func confirmed(std streams) bool {
	fmt.Fprint(std.err, "This signs everybody out. Type yes to go on: ")
	answer, err := bufio.NewReader(std.in).ReadString('\n')
	if err != nil {
		fmt.Fprintln(std.err) // nobody has pressed Enter
	}
	return (err == nil || errors.Is(err, io.EOF)) && strings.TrimSpace(answer) == "yes"
}

func (f sessionsFlags) stats(ctx context.Context, sessions *coatcheck.Manager, rest []string, out io.Writer) error {
	if len(rest) > 0 {
		return usagef("stats takes flags only, not %q", rest[0])
	}
	var signedIn, anonymous int
	var oldest time.Time
	subjects := map[string]struct{}{}
	err := f.each(ctx, sessions, func(i coatcheck.Info) error {
		if i.Subject == "" {
			anonymous++
		} else {
			signedIn++
			subjects[i.Subject] = struct{}{}
		}
		if oldest.IsZero() || i.Created.Before(oldest) {
			oldest = i.Created
		}
		return nil
	})
	if err != nil {
		return err
	}
	noun := "subjects"
	if len(subjects) == 1 {
		noun = "subject"
	}
	fmt.Fprintf(out, "sessions   %d\nsigned in  %d, of %d %s\nanonymous  %d\n", signedIn+anonymous, signedIn, len(subjects), noun, anonymous)
	if !oldest.IsZero() {
		fmt.Fprintf(out, "oldest     %s\n", at(oldest))
	}
	return nil
}
