package sqlitestore

// applicationID marks the file as ours, in SQLite's header: "Coat".
const applicationID = 0x436f6174

// migrations[n] takes a file from version n to n+1, which SQLite's header keeps
// as user_version. A released one never changes.
//
// Times are microseconds since the epoch. A record's deadline moves with every
// touch; so that this costs no index, due is a moment that is never later than
// the deadline, and Sweep moves it when it has come too early.
// A mark without subject is that of DeleteAll.
var migrations = []string{
	`CREATE TABLE sessions (
		id        BLOB    NOT NULL UNIQUE,
		version   INTEGER NOT NULL,
		subject   BLOB    NOT NULL,
		created   INTEGER NOT NULL,
		last_seen INTEGER NOT NULL,
		idle      INTEGER NOT NULL,
		absolute  INTEGER NOT NULL,
		due       INTEGER NOT NULL,
		retired   INTEGER NOT NULL,
		head      BLOB    NOT NULL,
		data      BLOB    NOT NULL
	) STRICT;
	CREATE INDEX sessions_by_subject ON sessions (subject) WHERE retired = 0 AND subject <> x'';
	CREATE INDEX sessions_by_due ON sessions (due);
	CREATE TABLE marks (
		subject BLOB    NOT NULL UNIQUE,
		at      INTEGER NOT NULL
	) STRICT;
	CREATE INDEX marks_by_time ON marks (at);`,
}

const (
	insertSession = `INSERT INTO sessions
		(id, version, subject, created, last_seen, idle, absolute, due, retired, head, data)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`

	// What no index holds is set apart, so that an ordinary update leaves the
	// indexes alone.
	updateSession = `UPDATE sessions
		SET version = ?, last_seen = max(last_seen, ?), idle = ?, absolute = ?, head = ?, data = ?
		WHERE id = ? AND version = ? AND retired = 0
		AND min(max(last_seen, ?) + idle, absolute) > ?
		RETURNING subject, created, last_seen, due`
	setDue     = `UPDATE sessions SET due = ?, last_seen = max(last_seen, ?) WHERE id = ?`
	setRetired = `UPDATE sessions SET retired = 1 WHERE id = ?`

	// Whether a record could still be changed, by its times alone.
	selectLive = `SELECT 1 FROM sessions
		WHERE id = ? AND retired = 0 AND min(max(last_seen, ?) + idle, absolute) > ?`
	touchSession = `UPDATE sessions SET last_seen = max(last_seen, ?)
		WHERE id = ? AND retired = 0 AND min(max(last_seen, ?) + idle, absolute) > ?`
	writeTouch = `UPDATE sessions SET last_seen = ? WHERE id = ? AND last_seen < ?`

	deleteSession = `DELETE FROM sessions WHERE id = ? RETURNING retired`
	countSessions = `SELECT count(*) FROM sessions WHERE retired = 0`
	deleteAll     = `DELETE FROM sessions`

	selectTimes = `SELECT id, created, last_seen, idle, absolute FROM sessions
		WHERE subject = ? AND retired = 0 AND subject <> x''`
	selectDue = `SELECT id, created, last_seen, idle, absolute FROM sessions
		WHERE due <= ? ORDER BY due LIMIT ?`

	selectMark = `SELECT max(at) FROM marks WHERE subject IN (?, x'')`
	newestMark = `SELECT max(at) FROM marks`
	insertMark = `INSERT INTO marks (subject, at) VALUES (?, ?)
		ON CONFLICT (subject) DO UPDATE SET at = max(at, excluded.at)`
	deleteMarks = `DELETE FROM marks WHERE at < ?`

	selectSession = `SELECT version, subject, created, last_seen, idle, absolute, retired, head, data
		FROM sessions WHERE id = ?`
	listSessions = `SELECT id, version, subject, created, last_seen, idle, absolute, head
		FROM sessions WHERE subject = ? AND retired = 0 AND subject <> x''`
	pageOfSessions = `SELECT id, version, subject, created, last_seen, idle, absolute, head
		FROM sessions WHERE id > ? AND retired = 0 ORDER BY id LIMIT ?`

	newestSession = `SELECT created FROM sessions ORDER BY rowid DESC LIMIT 1`
)
