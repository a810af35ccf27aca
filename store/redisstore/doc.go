// Package redisstore keeps sessions in Redis or Valkey: one server, one that
// Sentinels watch over, or a Cluster. It is for sites with several application
// servers:
//
//	sessionStore, err := redisstore.Open(ctx, "redis://localhost:6379", nil)
//	...
//	defer sessionStore.Close()
//	sessions, err := coatcheck.New(coatcheck.Config{Store: sessionStore})
//
// [Open] explains the forms of the address, [Options] the rest. The servers
// must be Redis 7, or Valkey, or newer, and must not evict (maxmemory-policy
// noeviction, which Open checks). What to configure, which rights to give and
// what to watch is in docs/operations/redis.md.
//
// # Promises
//
// Every operation on a session or a subject is one script, which the server
// runs without interruption, and one round trip. So a record, the index of its
// subject and its mark change together, and all is linearizable per id and per
// subject while a server is primary. DeleteAll, All and Sweep walk over all
// records with SCAN on each primary, never with KEYS.
//
// Sessions used before are read from local copies, without a round trip. The
// server tells of changes (client-side caching), and a copy answers at most
// Options.MaxStale, 1 second, after the session was changed by another process,
// also when this one is cut off and hears nothing: every copy hangs on a
// connection that has proved within that time, by an answer, that no news is
// still under way. A healthy connection brings the news in about a millisecond.
// After a write of this store has returned it never answers what was before.
// Misses are not kept, and Fresh loads ask the server. Settle waits for
// MaxStale, which must therefore be the same in all processes.
//
// Watch tells of every change: of one that came while the connection was lost,
// when it is found again.
//
// What an acknowledged write survives is for the servers to say:
//
//	                  process dies, machine dies        failover to a replica
//	appendfsync       always: nothing is lost           the last moments of
//	                  everysec: up to a second          writes, ends and rotations
//	                  none: all since the last snapshot may be undone
//	MinReplicas = all the same                          one failure loses nothing
//
// With MinReplicas the write and WAIT go in one round trip, and an answer from
// too few replicas is an error that leaves the outcome unknown. A touch is a
// write like others. In any case the ids that this store has ended in the last
// minute, and the marks that it has left, are told again to a server that it
// connects to anew and to a new primary.
//
// A primary that is cut off from its replicas goes on answering who still
// reaches it until it learns that it is none any more: in a Cluster after
// cluster-node-timeout. To have it refuse writes meanwhile, set
// min-replicas-to-write.
//
// Errors that say that nothing was done for a reason that passes (a failover, a
// slot that moves, a server that starts) are tried again for up to 5 seconds
// within the call's context, a server that cannot be reached for 1 second.
//
// # Keys
//
// PLACE is the placement of an id, 4 hex digits; REST the other 28. The braces
// make all keys of a placement, and so all of a subject, lie in one slot of a
// Cluster. Scripts find further keys by reading those that they are given;
// these have the same braces.
//
//	cc:{PLACE}rREST      a record, as below
//	cc:{PLACE}sSUBJECT   the subject's records: a sorted set of RESTs, by
//	                     creation in microseconds; no retired ones
//	cc:{PLACE}mSUBJECT   the subject's mark: a time, 8 bytes
//	cc:{PLACE}a          the mark of all: a time, 8 bytes. In a Cluster one in
//	                     each slot, with the first PLACE that lies there;
//	                     else one alone, with PLACE 0000
//
// Options.Prefix stands for cc. A record is a string, its numbers big-endian,
// its times microseconds since 1970 (exact up to the year 2255):
//
//	byte 0   format, 1
//	     1   flags: 1 retired
//	     2   version, 8 bytes
//	    10   created
//	    18   last seen; a touch writes these 8 bytes
//	    26   idle, microseconds
//	    34   absolute
//	    42   length of the subject, 2 bytes
//	    44   length of the head, 2 bytes
//	    46   subject, head, data
//
// A record has a time to live of 10 minutes past its deadline, an index one of
// a day and 10 minutes past the latest absolute deadline in it, a mark one of
// an hour and 10 minutes. They count from the now that is passed in, so the
// server's clock decides nothing. Subjects, times and heads are in clear.
package redisstore
