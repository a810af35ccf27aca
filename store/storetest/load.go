package storetest

import (
	"bytes"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

var loadCases = []testCase{
	{"load-live", "Load fills rec with the record as stored, live or not, retired or not, or returns ErrNotFound.", loadLive},
	{"load-dead", "Load fills rec with the record as stored, live or not, retired or not, or returns ErrNotFound.", loadDead},
	{"load-retired", "Load returns such a record and All skips it; no index or count holds it; it can never be changed again.", loadRetired},
	{"load-missing", "Load fills rec with the record as stored, live or not, retired or not, or returns ErrNotFound.", loadMissing},
	{"load-overwrites", "It overwrites every field and may reuse the capacity of rec.Head and rec.Data.", loadOverwrites},
}

var byteCases = []testCase{
	{"bytes-every-value", "A store keeps every byte of ID, Subject, Head and Data and looks into none of them", everyByteValue},
	{"bytes-every-id", "A store keeps every byte of ID, Subject, Head and Data and looks into none of them", everyIDByte},
	{"bytes-none", "A store keeps every byte of ID, Subject, Head and Data and looks into none of them", noBytes},
	{"bytes-largest", "MaxHead bounds Record.Head, in bytes.", largest},
	{"bytes-every-size", "Update replaces the record if its version is still was, else ErrConflict.", everySize},
	{"bytes-copied-in", "It copies what it is given before it returns and never lends its own memory.", copiedIn},
	{"bytes-not-lent", "It copies what it is given before it returns and never lends its own memory.", notLent},
	{"times-kept", "Times are whole microseconds in UTC (see [Instant]); durations are whole microseconds.", timesKept},
	{"times-are-arguments", "Time is an argument, never the clock of the store: a record is dead when its recorded times say so at the now that is passed in.", timesAreArguments},
	{"version-every-bit", "random, drawn by the manager for each write; never 0", versionBits},
}

func loadLive(k *trial) {
	signedIn, anonymous := newRecord("alice"), newRecord("")
	k.create(signedIn, anonymous)
	k.kept(signedIn)
	k.kept(anonymous)
	var rec store.Record
	if err := k.a.Load(k.Context(), signedIn.ID, &rec, store.Cached); err != nil {
		k.Fatalf("Load, Cached, by the handle that created: %v", err)
	}
	k.equal("Load, Cached", rec, signedIn)
}

func loadDead(k *trial) {
	rec := newRecord("alice")
	rec.Created, rec.LastSeen, rec.Absolute = after(-30*time.Hour), after(-20*time.Hour), after(-18*time.Hour)
	k.create(rec)
	k.kept(rec)
}

func loadRetired(k *trial) {
	k.kept(k.retire(newRecord("alice")))
	k.kept(k.retire(newRecord("")))
}

func loadMissing(k *trial) {
	k.create(newRecord("alice"))
	missing := newRecord("alice").ID
	for _, s := range []store.Store{k.a, k.b} {
		var rec store.Record
		k.is("Load, Cached, of an id never created", s.Load(k.Context(), missing, &rec, store.Cached), store.ErrNotFound)
		k.is("Load, Fresh, of an id never created", s.Load(k.Context(), missing, &rec, store.Fresh), store.ErrNotFound)
	}
}

func loadOverwrites(k *trial) {
	small := newRecord("")
	small.Head, small.Data = []byte("head"), nil
	k.create(small)
	dirty := newRecord("somebody else")
	dirty.Retired, dirty.Head, dirty.Data = true, random(500), random(5000)
	for _, read := range []store.Freshness{store.Cached, store.Fresh} {
		rec := dirty
		if err := k.a.Load(k.Context(), small.ID, &rec, read); err != nil {
			k.Fatalf("Load: %v", err)
		}
		k.equal("Load into a used record", rec, small)
	}
}

func everyByteValue(k *trial) {
	var every [256]byte
	for i := range every {
		every[i] = byte(i)
	}
	rec := newRecord(string(every[:]))
	rec.Head, rec.Data = every[:], append(every[:], every[:]...)
	k.create(rec)
	k.kept(rec)
	k.sameIDs("List", k.list(rec.Subject, start), rec.ID)
	rec.Data = bytes.Repeat([]byte{0}, 300)
	was := rec.Version
	rec.Version = newVersion()
	k.update(rec, was)
	k.kept(rec)
}

func everyIDByte(k *trial) {
	var recs []store.Record
	for _, b := range []byte{0, '*', '\'', '%', '/', '{', '}', '\\', '\n', 0x80, 0xff} {
		rec := newRecord("")
		copy(rec.ID[:], bytes.Repeat([]byte{b}, 16))
		recs = append(recs, rec)
	}
	k.create(recs...)
	for _, rec := range recs {
		k.kept(rec)
	}
	if _, err := k.a.Delete(k.Context(), recs[1].ID); err != nil {
		k.Fatalf("Delete: %v", err)
	}
	k.sameIDs("All, after Delete of the id of asterisks", idsOf(k.all()...), idsOf(append(recs[2:], recs[0])...)...)
}

func noBytes(k *trial) {
	rec := newRecord("")
	rec.Head, rec.Data = nil, []byte{}
	k.create(rec)
	k.kept(rec)
	was := rec.Version
	rec = next(rec)
	k.update(rec, was)
	was, rec.Version = rec.Version, newVersion()
	rec.Head, rec.Data = []byte{}, nil
	k.update(rec, was)
	k.kept(rec)
}

func largest(k *trial) {
	rec := newRecord(string(bytes.Repeat([]byte{'s'}, store.MaxSubject)))
	rec.Head, rec.Data = random(store.MaxHead), random(66<<10)
	k.create(rec)
	k.kept(rec)
	k.sameIDs("List", k.list(rec.Subject, start), rec.ID)
}

func everySize(k *trial) {
	rec := newRecord("alice")
	k.create(rec)
	for _, size := range []int{0, 1, 7, 100, 1000, 4000, 20_000, 40_000, 66_000, 300, 0, 9000} {
		was := rec.Version
		rec.Version, rec.Data = newVersion(), random(size)
		k.update(rec, was)
		k.kept(rec)
	}
	k.sameIDs("List", k.list("alice", start), rec.ID)
}

func copiedIn(k *trial) {
	rec := newRecord("alice")
	k.create(rec)
	want := rec
	want.Head, want.Data = bytes.Clone(rec.Head), bytes.Clone(rec.Data)
	spoil(rec)
	k.kept(want)

	rec = next(want)
	k.update(rec, want.Version)
	want = rec
	want.Head, want.Data = bytes.Clone(rec.Head), bytes.Clone(rec.Data)
	spoil(rec)
	k.kept(want)
}

func notLent(k *trial) {
	want := newRecord("alice")
	k.create(want)
	for _, read := range []store.Freshness{store.Cached, store.Fresh, store.Cached} {
		var rec store.Record
		if err := k.a.Load(k.Context(), want.ID, &rec, read); err != nil {
			k.Fatalf("Load: %v", err)
		}
		k.equal("Load, after what an earlier one returned was written to", rec, want)
		spoil(rec)
	}
	listed, err := k.b.List(k.Context(), "alice", start)
	if err != nil || len(listed) != 1 {
		k.Fatalf("List: %d records, %v", len(listed), err)
	}
	spoil(listed[0])
	for _, rec := range k.all() {
		spoil(rec)
	}
	k.kept(want)
}

// spoil writes to the memory that the record refers to.
func spoil(rec store.Record) {
	for _, b := range [][]byte{rec.Head, rec.Data} {
		for i := range b {
			b[i] ^= 0xff
		}
	}
}

func timesKept(k *trial) {
	rec := newRecord("alice")
	away := time.FixedZone("away", 3*3600)
	rec.Created = after(-time.Microsecond).In(away)
	rec.LastSeen = after(999_999 * time.Microsecond).In(away)
	rec.Absolute = after(400 * 24 * time.Hour).Add(time.Microsecond).In(away)
	rec.Idle = 14*24*time.Hour + time.Microsecond
	k.create(rec)
	k.kept(rec)
	rec2 := next(rec)
	rec2.LastSeen, rec2.Absolute, rec2.Idle = rec.LastSeen.Add(time.Microsecond), rec.Absolute.Add(time.Microsecond), time.Microsecond
	k.update(rec2, rec.Version)
	k.kept(rec2)
	listed, err := k.b.List(k.Context(), "alice", start)
	if err != nil || len(listed) != 1 {
		k.Fatalf("List: %d records, %v", len(listed), err)
	}
	rec2.Data = nil
	k.equal("List", listed[0], rec2)
}

func timesAreArguments(k *trial) {
	for _, begin := range []time.Time{start, start.AddDate(70, 0, 0)} {
		rec := newRecord("alice")
		rec.Created, rec.LastSeen, rec.Absolute = begin, begin, begin.Add(12*time.Hour)
		if _, err := k.a.Create(k.Context(), rec, store.Terms{Began: begin, Max: 1}, begin); err != nil {
			k.Fatalf("Create at %v: %v", begin, err)
		}
		k.sameIDs("List at the time of creation", k.list("alice", begin), rec.ID)
		k.sameIDs("List at the deadline", k.list("alice", rec.Deadline()))
		k.kept(rec)
		if err := k.a.Touch(k.Context(), rec.ID, begin.Add(time.Minute)); err != nil {
			k.Errorf("Touch a minute after the creation at %v: %v", begin, err)
		}
	}
}

func versionBits(k *trial) {
	for _, version := range []uint64{1, 1 << 31, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		rec := newRecord("alice")
		rec.Version = version
		k.create(rec)
		k.kept(rec)
		changed := next(rec)
		changed.Version = ^version | 1
		k.is("Update over a version that differs in one bit", k.a.Update(k.Context(), changed, version^1<<40, start), store.ErrConflict)
		k.update(changed, version)
		k.kept(changed)
	}
}
