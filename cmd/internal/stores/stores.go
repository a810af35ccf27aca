// Package stores opens the store that a user names on the command line.
//
// [Open] takes the name, [Forms] lists what names there are. A store is added
// by one line in the table of this package.
package stores

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// ErrForm is returned by [Open] for a name of no known form.
var ErrForm = errors.New("no such store")

// form is one way to name a store: everything that begins with its prefix.
type form struct {
	prefix  string
	written string
	about   string
	open    func(ctx context.Context, rest string) (store.Store, func() error, error)
}

var forms = []form{
	{"memory:", "memory:", "in the memory of this process, gone when it ends", openMemory},
}

// Forms explains every form of a name, one a line.
func Forms() string {
	var lines strings.Builder
	for _, f := range forms {
		fmt.Fprintf(&lines, "  %-28s %s\n", f.written, f.about)
	}
	return lines.String()
}

// Open opens the store of that name, and returns how to close it. The error is
// [ErrForm] for a name of no known form, and lists the forms.
func Open(ctx context.Context, name string) (store.Store, func() error, error) {
	for _, f := range forms {
		rest, ours := strings.CutPrefix(name, f.prefix)
		if !ours {
			continue
		}
		opened, closeStore, err := f.open(ctx, rest)
		if err != nil {
			return nil, nil, fmt.Errorf("open the store %s: %w", f.prefix, err)
		}
		return opened, closeStore, nil
	}
	return nil, nil, fmt.Errorf("%w as %q; write one of these:\n%s", ErrForm, name, Forms())
}

func openMemory(_ context.Context, rest string) (store.Store, func() error, error) {
	if rest != "" {
		return nil, nil, fmt.Errorf("%w: nothing follows after memory:, not %q", ErrForm, rest)
	}
	return memstore.New(nil), func() error { return nil }, nil
}
