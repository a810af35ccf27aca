package pgstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

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
