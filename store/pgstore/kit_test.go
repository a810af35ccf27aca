package pgstore_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/pgstore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

// grants are the rights that a program needs, as [pgstore.Schema] says.
const grants = `GRANT USAGE ON SCHEMA %[1]s TO app;
GRANT SELECT ON %[1]s.version TO app;
GRANT SELECT, INSERT, UPDATE, DELETE ON %[1]s.sessions, %[1]s.marks TO app;
`

// The whole contract is kept with no more rights than a program needs, in a
// schema that an administrator has made. The two handles have nothing in common
// but the server.
func TestKeepsTheContractWithTheLeastPrivileges(t *testing.T) {
	server := startServer(t)
	storetest.Run(t, func(t *testing.T) (a, b store.Store) {
		schema := newSchema()
		server.sql(t, pgstore.Schema(schema)+fmt.Sprintf(grants, schema))
		open := func(noMigrate bool) store.Store {
			s, err := pgstore.Open(t.Context(), server.dsn(app), &pgstore.Options{Schema: schema, NoMigrate: noMigrate})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		}
		return open(true), open(false)
	})
}

// A connection string may name any of pgx's ways to send a query. In the simple
// protocol each value is a literal, whose type the server must find out.
func TestEveryWayToSendAQuery(t *testing.T) {
	server := startServer(t)
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			s, err := pgstore.Open(t.Context(), server.dsn(owner)+"&default_query_exec_mode="+mode, &pgstore.Options{Schema: newSchema()})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			useOfEveryMethod(t, s)
		})
	}
}

func useOfEveryMethod(t *testing.T, s *pgstore.Store) {
	t.Helper()
	ctx, terms := t.Context(), store.Terms{Max: 1, Began: start}
	first := newRecord("ali\x00ce\xff'\\")
	second := newRecord(first.Subject)
	next := second
	next.Version = newVersion()
	var loaded store.Record
	for _, step := range []struct {
		name string
		do   func() (n int, err error)
		want int
	}{
		{"create", func() (int, error) { ids, err := s.Create(ctx, first, terms, start); return len(ids), err }, 0},
		{"create at the limit", func() (int, error) { ids, err := s.Create(ctx, second, terms, start); return len(ids), err }, 1},
		{"touch", func() (int, error) { return 0, s.Touch(ctx, second.ID, after(time.Second)) }, 0},
		{"update", func() (int, error) { return 0, s.Update(ctx, next, second.Version, start) }, 0},
		{"list", func() (int, error) { list, err := s.List(ctx, first.Subject, start); return len(list), err }, 1},
		{"load", func() (int, error) {
			err := s.Load(ctx, second.ID, &loaded, store.Fresh)
			if err == nil && (loaded.Version != next.Version || loaded.Subject != next.Subject || !bytes.Equal(loaded.Head, next.Head)) {
				err = fmt.Errorf("it is %+v, want %+v", loaded, next)
			}
			return 0, err
		}, 0},
		{"all", func() (n int, err error) {
			for _, err := range s.All(ctx) {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, nil
		}, 1},
		{"delete", func() (int, error) { ids, err := s.Delete(ctx, first.ID, second.ID); return len(ids), err }, 1},
		{"create again", func() (int, error) { ids, err := s.Create(ctx, first, terms, start); return len(ids), err }, 0},
		{"delete subject", func() (int, error) { ids, err := s.DeleteSubject(ctx, first.Subject, start); return len(ids), err }, 1},
		{"create without terms", func() (int, error) { ids, err := s.Create(ctx, second, store.Terms{}, start); return len(ids), err }, 0},
		{"sweep", func() (int, error) { n, _, err := s.Sweep(ctx, start, 10); return n, err }, 0},
		{"delete all", func() (int, error) { return s.DeleteAll(ctx, start) }, 1},
	} {
		if n, err := step.do(); err != nil || n != step.want {
			t.Errorf("%s: %d, %v; want %d", step.name, n, err, step.want)
		}
	}
}

// What a program migrates is what an administrator makes.
func TestSchemaIsWhatOpenMakes(t *testing.T) {
	server := startServer(t)
	dump := func(schema string) string {
		out, err := server.command("pg_dump", "--schema-only", "--schema", schema, server.dsn(owner)).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(out), schema, "SCHEMA")
	}
	made, opened := newSchema(), newSchema()
	server.sql(t, pgstore.Schema(made))
	server.open(t, opened)
	if made, opened := withoutRestrict(dump(made)), withoutRestrict(dump(opened)); made != opened {
		t.Errorf("Schema makes\n%s\nand Open makes\n%s", made, opened)
	}
}

// withoutRestrict leaves out the line of a dump that is random.
func withoutRestrict(dump string) string {
	lines := strings.Split(dump, "\n")
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, `\restrict`) || strings.HasPrefix(line, `\unrestrict`)
	}), "\n")
}
