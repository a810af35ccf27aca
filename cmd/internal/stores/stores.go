// Package stores opens the store that a user names on the command line.
//
// [Open] takes it for a site that serves from it, [Attach] for a tool that
// looks at it beside such a site; [Forms] and [FormsToAttach] list what names
// there are. A store is added by one line in the table of this package.
package stores

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/pgstore"
	"github.com/coatcheck/coatcheck/store/redisstore"
	"github.com/coatcheck/coatcheck/store/sqlitestore"
)

// ErrForm is returned by [Open] and [Attach] for a name of no known form.
var ErrForm = errors.New("that names no store")

// Opened is a store and the way to let go of it.
type Opened interface {
	store.Store
	Close() error
}

// form is one way to name a store: everything that begins with its prefix.
type form struct {
	prefix  string
	written string
	about   string
	open    opener
	attach  opener // nil: as open
	alone   bool   // nobody but the process that opened it can look into it
}

// opener opens a store by its whole name, and by what follows the prefix.
type opener func(ctx context.Context, name, rest string) (Opened, error)

var forms = []form{
	{"memory:", "memory:", "the memory of this process, gone when it ends", openMemory, nil, true},
	{"sqlite:", "sqlite:FILE", "a file of this machine", openSQLite, attachSQLite, false},
	{"redis://", "redis://HOST[:PORT][/DATABASE]", "Redis or Valkey", openRedis, nil, false},
	{"rediss://", "rediss://HOST[:PORT][/DATABASE]", "the same over TLS", openRedis, nil, false},
	{"redis-cluster://", "redis-cluster://HOST,HOST", "a Redis Cluster", openRedis, nil, false},
	{"redis-sentinel://", "redis-sentinel://HOST,HOST/PRIMARY", "Redis under Sentinel", openRedis, nil, false},
	{"postgres://", "postgres://USER@HOST/DATABASE", "PostgreSQL", openPostgres, attachPostgres, false},
}

// Forms explains every form of a name, one a line.
func Forms() string { return explained(func(form) bool { return true }) }

// FormsToAttach explains those that [Attach] takes.
func FormsToAttach() string { return explained(func(f form) bool { return !f.alone }) }

func explained(fits func(form) bool) string {
	var lines strings.Builder
	for _, f := range forms {
		if fits(f) {
			fmt.Fprintf(&lines, "  %-36s %s\n", f.written, f.about)
		}
	}
	return lines.String()
}

// Open opens the store of that name to serve from it. The error is [ErrForm]
// for a name of no known form, and lists the forms. No error repeats the name,
// which may contain a password.
func Open(ctx context.Context, name string) (Opened, error) {
	return open(ctx, name, Forms(), func(f form) opener { return f.open })
}

// Attach is Open for a tool: where one process alone may hold the store, it
// speaks to that process, and it makes no store that is not there. A memory of
// its own would say that there are no sessions, so that is no store here.
func Attach(ctx context.Context, name string) (Opened, error) {
	return open(ctx, name, FormsToAttach(), func(f form) opener {
		switch {
		case f.alone:
			return nil
		case f.attach == nil:
			return f.open
		}
		return f.attach
	})
}

func open(ctx context.Context, name, known string, how func(form) opener) (Opened, error) {
	for _, f := range forms {
		rest, ours := strings.CutPrefix(name, f.prefix)
		if !ours {
			continue
		}
		way := how(f)
		if way == nil {
			return nil, fmt.Errorf("%w that can be looked into: what a site has in its memory, no other program sees; write one of these:\n%s", ErrForm, known)
		}
		opened, err := way(ctx, name, rest)
		if err != nil {
			return nil, fmt.Errorf("open the store %s…: %w", f.prefix, err)
		}
		return opened, nil
	}
	return nil, fmt.Errorf("%w; write one of these:\n%s", ErrForm, known)
}

type memory struct{ *memstore.Store }

// Close does nothing: what is in memory goes with it.
func (memory) Close() error { return nil }

func openMemory(_ context.Context, _, rest string) (Opened, error) {
	if rest != "" {
		return nil, fmt.Errorf("%w: memory: is the whole name, nothing follows it", ErrForm)
	}
	return memory{memstore.New(nil)}, nil
}

var errNoFile = fmt.Errorf("%w: a file's name follows after sqlite:, as in sqlite:sessions.db", ErrForm)

func openSQLite(ctx context.Context, _, file string) (Opened, error) {
	if file == "" {
		return nil, errNoFile
	}
	return sqlitestore.Open(ctx, file, nil)
}

func attachSQLite(ctx context.Context, _, file string) (Opened, error) {
	if file == "" {
		return nil, errNoFile
	}
	return sqlitestore.Attach(ctx, file, nil)
}

func openRedis(ctx context.Context, name, _ string) (Opened, error) {
	return redisstore.Open(ctx, name, nil)
}

func openPostgres(ctx context.Context, name, _ string) (Opened, error) {
	return pgstore.Open(ctx, name, nil)
}

// attachPostgres leaves the schema to the sites: looking at one must not
// migrate it under a site of an older release.
func attachPostgres(ctx context.Context, name, _ string) (Opened, error) {
	return pgstore.Open(ctx, name, &pgstore.Options{NoMigrate: true})
}
