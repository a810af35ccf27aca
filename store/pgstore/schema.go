package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrSchema is returned by Open and New, wrapped in what there is to do, when
// the schema is missing and may not be created, or is of a version that this
// program does not know.
var ErrSchema = errors.New("the schema does not fit this program")

// migrations[n] takes a schema from version n to n+1. A released one never
// changes.
//
// What is stored is sealed or short, so that compressing it is in vain. The
// room that pages leave is where a touch puts the next version of its row.
var migrations = []string{
	`CREATE TABLE {schema}.sessions (
	id        uuid    PRIMARY KEY,
	version   bigint  NOT NULL,
	created   bigint  NOT NULL, -- all times: microseconds since 1970, UTC
	last_seen bigint  NOT NULL,
	idle      bigint  NOT NULL, -- microseconds
	absolute  bigint  NOT NULL,
	due       bigint  NOT NULL, -- never later than the deadline
	retired   boolean NOT NULL,
	subject   bytea   NOT NULL, -- empty: none
	head      bytea   NOT NULL,
	data      bytea   NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE {schema}.sessions ALTER COLUMN head SET STORAGE EXTERNAL, ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE INDEX sessions_by_subject ON {schema}.sessions (subject) WHERE NOT retired AND subject <> '';
CREATE INDEX sessions_by_due ON {schema}.sessions (due);
CREATE TABLE {schema}.marks (
	subject bytea  PRIMARY KEY, -- empty: all subjects
	at      bigint NOT NULL
);
CREATE INDEX marks_by_time ON {schema}.marks (at);
`,
}

const (
	beginVersions = `CREATE TABLE {schema}.version (version integer NOT NULL);
INSERT INTO {schema}.version VALUES (0);
`
	setVersion = `UPDATE {schema}.version SET version = %d;
`
)

// Schema returns the SQL that an administrator runs to create everything that
// a store needs in the schema of that name, for programs whose role may not
// create tables:
//
//	psql --single-transaction --set ON_ERROR_STOP=1 --file coatcheck.sql DATABASE
//
// The role of the program then needs no more than
//
//	GRANT USAGE ON SCHEMA coatcheck TO app;
//	GRANT SELECT ON coatcheck.version TO app;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON coatcheck.sessions, coatcheck.marks TO app;
func Schema(name string) string {
	return in(name, "CREATE SCHEMA {schema};\n"+beginVersions+steps(0))
}

// steps returns the SQL that takes a schema from a version to the newest.
func steps(from int) string {
	var sql strings.Builder
	for version := from; version < len(migrations); version++ {
		sql.WriteString(migrations[version])
		fmt.Fprintf(&sql, setVersion, version+1)
	}
	return sql.String()
}

// in puts the name of the schema into a statement.
func in(schema, sql string) string {
	return strings.ReplaceAll(sql, "{schema}", pgx.Identifier{schema}.Sanitize())
}

// prepareSchema sees to it that the schema is there and of the newest version.
func (s *Store) prepareSchema(ctx context.Context, mayMigrate bool) error {
	return s.do(ctx, "open", true, func(ctx context.Context, conn *pgxpool.Conn) error {
		version, err := s.schemaVersion(ctx, conn)
		if err != nil || version == len(migrations) {
			return err
		}
		if !mayMigrate {
			return s.misfit(version)
		}
		return s.migrate(ctx, conn)
	})
}

// migrate creates the schema or brings it to the newest version, whole or not
// at all. Of several processes that start at once one does it, and the others
// wait and find it done.
func (s *Store) migrate(ctx context.Context, conn *pgxpool.Conn) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, s.lockKey("migrate", "")); err != nil {
			return err
		}
		version, err := s.schemaVersion(ctx, tx)
		if err != nil {
			return err
		}
		if version > len(migrations) {
			return s.misfit(version)
		}
		sql := ""
		if version == noVersion {
			// An administrator may have created the schema alone, for a role
			// that may not.
			var there bool
			err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)`, s.schema).Scan(&there)
			if err != nil {
				return err
			}
			if !there {
				sql = "CREATE SCHEMA {schema};\n"
			}
			sql += beginVersions
			version = 0
		}
		// Several statements at once need the simple protocol.
		_, err = tx.Exec(ctx, in(s.schema, sql+steps(version)), pgx.QueryExecModeSimpleProtocol)
		return err
	})
}

const noVersion = -1

// schemaVersion returns the version of the schema, or noVersion where there is
// none.
func (s *Store) schemaVersion(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}) (version int, err error) {
	var there bool
	err = db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = 'version')`, s.schema).Scan(&there)
	if err != nil || !there {
		return noVersion, err
	}
	err = db.QueryRow(ctx, in(s.schema, `SELECT version FROM {schema}.version`)).Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("%w: the table version of schema %s is empty, as after a restore without its data; put the row back that the backup had, or drop the schema",
			ErrSchema, s.schema)
	}
	return version, err
}

// misfit says why a schema of that version cannot be used.
func (s *Store) misfit(version int) error {
	switch {
	case version > len(migrations):
		return fmt.Errorf("%w: schema %s is of version %d, which a newer program has made, and this one knows versions up to %d; run the newer program, or name another schema",
			ErrSchema, s.schema, version, len(migrations))
	case version == noVersion:
		return fmt.Errorf("%w: the database has no schema %s with the tables of a store; have its administrator run what pgstore.Schema returns, or leave out NoMigrate",
			ErrSchema, s.schema)
	}
	return fmt.Errorf("%w: schema %s is of version %d and this program needs %d; start the program once with a role that owns the tables and without NoMigrate",
		ErrSchema, s.schema, version, len(migrations))
}
