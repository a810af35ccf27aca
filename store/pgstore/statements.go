package pgstore

// statements are what a store asks of the server, with the name of the schema
// filled in. Each is judged by the times it is given, never by the server's
// clock.
//
// Statements that lock more than one row lock them in the order of their ids,
// and a sweep waits for none: so they never wait for each other in a circle.
// ANY (ARRAY(SELECT ...)) instead of a join keeps the planner at the index,
// whatever it believes about the number of rows.
type statements struct {
	shareGate, shareGateAndSubject, takeGate          string
	load, list, page, versions                        string
	create, update, current, touch                    string
	deleteIDs, deleteSubject, deleteEverything, sweep string
}

func statementsIn(schema string) statements {
	return statements{
		// The second of two locks is asked for when the first is held. What
		// follows in the transaction finds the subject's rows by their index: a
		// plan made while the table is new, and so small that reading all of it
		// is best, is kept until the server's upkeep comes by.
		shareGate: `SELECT pg_advisory_xact_lock_shared($1)`,
		shareGateAndSubject: `SELECT pg_advisory_xact_lock_shared($1), pg_advisory_xact_lock($2),
			set_config('enable_seqscan', 'off', true)`,
		takeGate: `SELECT pg_advisory_xact_lock($1)`,

		load: in(schema, `SELECT version, subject, created, last_seen, idle, absolute, retired, head, data
			FROM {schema}.sessions WHERE id = $1`),
		list: in(schema, `SELECT id, version, subject, created, last_seen, idle, absolute, head
			FROM {schema}.sessions WHERE subject = $1 AND subject <> '' AND NOT retired
			AND least(last_seen + idle, absolute) > $2 ORDER BY created, id`),
		page: in(schema, `SELECT id, version, subject, created, last_seen, idle, absolute, head
			FROM {schema}.sessions WHERE id >= $1 AND NOT retired ORDER BY id LIMIT $2`),
		versions: in(schema, `SELECT id, version FROM {schema}.sessions WHERE id = ANY ($1)`),

		create: in(schema, createSession),
		update: in(schema, `UPDATE {schema}.sessions
			SET version = $3, last_seen = greatest(last_seen, $4), idle = $5, absolute = $6,
				retired = $7, head = $8, data = $9,
				due = least(due, greatest(last_seen, $4) + $5, $6)
			WHERE id = $1 AND version = $2 AND NOT retired AND least(last_seen + idle, absolute) > $10`),
		current: in(schema, `SELECT version FROM {schema}.sessions
			WHERE id = $1 AND NOT retired AND least(last_seen + idle, absolute) > $2`),
		// The commit of a touch does not wait for the disk.
		touch: in(schema, `UPDATE {schema}.sessions SET last_seen = greatest(last_seen, $2)
			WHERE id = $1 AND NOT retired AND least(last_seen + idle, absolute) > $2
			RETURNING set_config('synchronous_commit', 'off', true)`),

		deleteIDs: in(schema, `WITH gone AS (
				DELETE FROM {schema}.sessions WHERE id = ANY (ARRAY(
					SELECT id FROM {schema}.sessions WHERE id = ANY ($1) ORDER BY id FOR UPDATE))
				RETURNING id, retired
			) SELECT ARRAY(SELECT id FROM gone WHERE NOT retired ORDER BY id)`),
		deleteSubject: in(schema, `WITH gone AS (
				DELETE FROM {schema}.sessions WHERE id = ANY (ARRAY(
					SELECT id FROM {schema}.sessions
					WHERE subject = $1 AND subject <> '' AND NOT retired AND id <> ALL ($3) ORDER BY id FOR UPDATE))
				RETURNING id
			), marked AS (`+leaveMark+`)
			SELECT ARRAY(SELECT id FROM gone ORDER BY id)`),
		deleteEverything: in(schema, `WITH gone AS (DELETE FROM {schema}.sessions RETURNING retired),
			marked AS (`+leaveMark+`)
			SELECT count(*) FROM gone WHERE NOT retired`),
		sweep: in(schema, sweepSessions),
	}
}

// leaveMark: $1 the subject, or empty for all; $2 now.
const leaveMark = `INSERT INTO {schema}.marks AS kept (subject, at) VALUES ($1, $2)
	ON CONFLICT (subject) DO UPDATE SET at = greatest(kept.at, excluded.at)`

// createSession: $1 to $10 are the record, $11 the latest mark that lets it
// pass (NULL: any), $12 the earliest mark in force, $13 now, $14 the record that
// is replaced, $15 the limit, $16 whether to refuse at it. The subject's rows
// are locked only when some must go, because which ones depends on when they
// were last seen.
const createSession = `WITH
counted AS (
	SELECT count(*) AS n FROM {schema}.sessions
	WHERE $15::bigint > 0 AND subject = $2 AND subject <> '' AND NOT retired AND id <> $14
	AND least(last_seen + idle, absolute) > $13
),
verdict AS (
	SELECT EXISTS (SELECT FROM {schema}.marks WHERE subject IN ($2, '') AND at > $11 AND at >= $12) AS ended,
		$15 > 0 AND n >= $15 AS reached FROM counted
),
others AS (
	SELECT id, last_seen, created FROM {schema}.sessions
	WHERE (SELECT reached AND NOT $16::boolean FROM verdict)
	AND subject = $2 AND subject <> '' AND NOT retired AND id <> $14
	AND least(last_seen + idle, absolute) > $13
	ORDER BY id FOR UPDATE
),
inserted AS (
	INSERT INTO {schema}.sessions
		(id, subject, version, created, last_seen, idle, absolute, due, retired, head, data)
	SELECT $1, $2, $3, $4, $5::bigint, $6::bigint, $7::bigint, least($5::bigint + $6::bigint, $7), $8, $9, $10
	FROM verdict WHERE NOT ended AND NOT (reached AND $16)
	ON CONFLICT (id) DO NOTHING RETURNING id
),
evicted AS (
	DELETE FROM {schema}.sessions WHERE EXISTS (SELECT FROM inserted) AND id = ANY (ARRAY(
		SELECT id FROM others ORDER BY last_seen, created, id
		LIMIT greatest((SELECT count(*) FROM others) - $15 + 1, 0)))
	RETURNING id, last_seen, created
)
SELECT ended, reached AND $16, EXISTS (SELECT FROM inserted),
	ARRAY(SELECT id FROM evicted ORDER BY last_seen, created, id) FROM verdict`

// sweepSessions: $1 what was due by then and has passed its deadline goes, $2
// how far this round has come, $3 the limit, $4 the earliest mark in force. A
// touch does not move due, so a record that is due may live; it is due anew at
// its deadline.
const sweepSessions = `WITH
found AS (
	SELECT id, due, least(last_seen + idle, absolute) AS deadline FROM {schema}.sessions
	WHERE due >= $2 AND due <= $1 ORDER BY due LIMIT $3 FOR UPDATE SKIP LOCKED
),
gone AS (
	DELETE FROM {schema}.sessions
	WHERE id = ANY (ARRAY(SELECT id FROM found WHERE deadline <= $1)) RETURNING id
),
alive AS (
	UPDATE {schema}.sessions SET due = least(last_seen + idle, absolute)
	WHERE id = ANY (ARRAY(SELECT id FROM found WHERE deadline > $1))
),
forgotten AS (
	DELETE FROM {schema}.marks WHERE subject = ANY (ARRAY(
		SELECT subject FROM {schema}.marks WHERE at < $4 LIMIT $3 FOR UPDATE SKIP LOCKED)) RETURNING at
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM found), (SELECT count(*) FROM forgotten),
	(SELECT coalesce(max(due), $2) FROM found)`
