package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// resolve returns the one absolute name of the file, so that nobody reaches it
// past the lock by another.
func resolve(path string) (string, error) {
	if path == "" || path == ":memory:" || strings.HasPrefix(path, "file:") {
		return "", fmt.Errorf("sqlitestore: %q is not the name of a file; for sessions in memory use memstore", path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("sqlitestore: %w", err)
	}
	real, unresolved := filepath.EvalSymlinks(path)
	if unresolved == nil {
		return real, nil
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return "", explainFile(path, err)
	}
	// The path may be a link to a file that is not there yet. That is made where
	// the link leads, and found there from then on; so the lock belongs there.
	if target, err := os.Readlink(path); err == nil && errors.Is(unresolved, fs.ErrNotExist) {
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		return resolve(target)
	}
	return filepath.Join(dir, filepath.Base(path)), nil
}

// explainFile is explain for what the operating system says of a file.
func explainFile(path string, err error) error {
	dir := filepath.Dir(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("sqlitestore: the directory %s is not there; make it, or name another: %w", dir, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("sqlitestore: %s cannot be written; give this process the right to write to it and to make files in %s: %w", path, dir, err)
	}
	return fmt.Errorf("sqlitestore: %s cannot be opened for writing: %w", path, err)
}

// openWriter opens or makes the file, brings it to the version of this
// program, and leaves the writer's connection.
func (s *Store) openWriter() (err error) {
	// SQLite would make the file readable by everybody. It gives the files
	// beside it the same rights.
	file, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return explainFile(s.path, err)
	}
	if err := file.Close(); err != nil {
		return explainFile(s.path, err)
	}
	ctx := context.Background()
	db, err := connect(ctx, s.path, pragma("busy_timeout", 5000))
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.close())
		}
	}()
	if err := db.migrate(ctx, s.path); err != nil {
		return err
	}
	if err := db.configure(ctx, s.path); err != nil {
		return err
	}
	var mark sql.NullInt64
	if err := db.row(newestMark, nil, &mark); err != nil {
		return s.explain("open", err)
	}
	s.writer = writer{store: s, sql: db, ops: make(chan *op, maxGroup), flush: make(chan struct{}, 1),
		stopped: make(chan struct{}), closing: make(chan struct{}), newestMark: never}
	if mark.Valid {
		s.writer.newestMark = mark.Int64
	}
	return nil
}

// migrate refuses a file that is not ours to change, before anything in it is
// changed, and brings one that is to the version of this program.
func (s *statements) migrate(ctx context.Context, path string) error {
	var application, version, tables int
	if err := errors.Join(
		s.row("PRAGMA application_id", nil, &application),
		s.row("PRAGMA user_version", nil, &version),
		s.row("SELECT count(*) FROM sqlite_schema", nil, &tables),
	); err != nil {
		return explain("open", path, err)
	}
	isNew := application == 0 && version == 0 && tables == 0
	switch {
	case !isNew && application != applicationID:
		return fmt.Errorf("sqlitestore: %s is the database of another program (application id %#x); name another file", path, application)
	case version > len(migrations):
		return fmt.Errorf("sqlitestore: %s was written by a newer version of this program (file version %d, this one knows %d); install that, or restore the backup from before the upgrade", path, version, len(migrations))
	case version == len(migrations):
		return nil
	}
	script := "BEGIN IMMEDIATE;" + strings.Join(migrations[version:], "\n") +
		fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT", applicationID, len(migrations))
	if _, err := s.conn.ExecContext(ctx, script); err != nil {
		_, _ = s.exec("ROLLBACK")
		return explain("open", path, err)
	}
	return nil
}

// configure makes a commit mean what the package comment says.
func (s *statements) configure(ctx context.Context, path string) error {
	var mode string
	if err := s.row("PRAGMA journal_mode = WAL", nil, &mode); err != nil {
		return explain("open", path, err)
	}
	if mode != "wal" {
		return fmt.Errorf("sqlitestore: %s cannot have a write-ahead log, probably because its file system is not a local disk; move it to one", path)
	}
	_, err := s.conn.ExecContext(ctx, `PRAGMA synchronous = FULL; PRAGMA fullfsync = 1;
		PRAGMA checkpoint_fullfsync = 1; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -32768`)
	if err != nil {
		return explain("open", path, err)
	}
	return nil
}

// checkClock refuses a clock that is far behind the file: as on a machine that
// has just started and does not know the time yet.
func (s *Store) checkClock(now time.Time) error {
	var created int64
	err := s.writer.sql.row(newestSession, nil, &created)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return s.explain("open", err)
	}
	if newest := instant(created); newest.After(now.Add(maxClockLead)) {
		return fmt.Errorf("sqlitestore: the clock says %s, and the newest session in %s was created at %s; set the clock right and start again: sessions would outlive their deadlines",
			now.UTC().Format(time.RFC3339), s.path, newest.Format(time.RFC3339))
	}
	return nil
}

// openReads opens the connections that only read.
func (s *Store) openReads() (err error) {
	if s.reads, err = sql.Open("sqlite", address(s.path, "mode=ro", pragma("busy_timeout", 5000), pragma("query_only", 1))); err != nil {
		return s.explain("open", err)
	}
	connections := max(4, runtime.GOMAXPROCS(0))
	s.reads.SetMaxOpenConns(connections)
	s.reads.SetMaxIdleConns(connections)
	for query, stmt := range map[string]**sql.Stmt{
		selectSession: &s.selectOne, listSessions: &s.selectList, pageOfSessions: &s.selectPage,
	} {
		if *stmt, err = s.reads.Prepare(query); err != nil {
			return errors.Join(s.explain("open", err), s.closeReads())
		}
	}
	return nil
}

func (s *Store) closeReads() error {
	var errs []error
	for _, stmt := range []*sql.Stmt{s.selectOne, s.selectList, s.selectPage} {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	return errors.Join(append(errs, s.reads.Close())...)
}

// connect opens one connection.
func connect(ctx context.Context, path string, parameters ...string) (*statements, error) {
	db, err := sql.Open("sqlite", address(path, parameters...))
	if err != nil {
		return nil, explain("open", path, err)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, errors.Join(explain("open", path, err), db.Close())
	}
	return &statements{db: db, conn: conn, prepared: make(map[string]*sql.Stmt)}, nil
}

// close closes the statements too: SQLite keeps a connection open as long as it
// has one, and only the last to be closed puts the log away.
func (s *statements) close() error {
	var errs []error
	for _, stmt := range s.prepared {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(append(errs, s.conn.Close(), s.db.Close())...)
}

// address is how the driver is told of a file, whatever is in its name.
func address(path string, parameters ...string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive letter
	}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: strings.Join(parameters, "&")}).String()
}

func pragma(name string, value int) string { return fmt.Sprintf("_pragma=%s(%d)", name, value) }
