package memstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// small is a store that is soon full.
func small() *memstore.Store { return memstore.New(&memstore.Options{MaxBytes: 1 << 20}) }

// anonymous is a session without subject that was last seen some seconds after
// the start.
func anonymous(n uint64, data int, seconds int) store.Record {
	rec := session(n, data)
	rec.Subject = ""
	rec.LastSeen = began.Add(time.Duration(seconds) * time.Second)
	return rec
}

// signInUntilFull creates sessions of users, numbered from a number, until there is no room.
func signInUntilFull(t *testing.T, s *memstore.Store, from uint64) (signedIn []store.Record) {
	for n := from; ; n++ {
		rec := session(n, int(n%1500))
		_, err := s.Create(t.Context(), rec, store.Terms{}, began)
		if errors.Is(err, store.ErrFull) {
			if err := s.Load(t.Context(), rec.ID, new(store.Record), store.Fresh); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("Load of a record for which there was no room: %v", err)
			}
			return signedIn
		}
		if err != nil {
			t.Fatal(err)
		}
		if signedIn = append(signedIn, rec); len(signedIn) > 100_000 {
			t.Fatal("a store of 1 MiB has no end")
		}
	}
}

func there(t *testing.T, s *memstore.Store, recs []store.Record) (n int) {
	for _, rec := range recs {
		switch err := s.Load(t.Context(), rec.ID, new(store.Record), store.Fresh); {
		case err == nil:
			n++
		case !errors.Is(err, store.ErrNotFound):
			t.Fatal(err)
		}
	}
	return n
}

func TestAFullStoreEndsNobodyWhoIsSignedIn(t *testing.T) {
	s := small()
	signedIn := signInUntilFull(t, s, 1<<30)
	if len(signedIn) < 500 {
		t.Errorf("a store of 1 MiB was full with %d sessions of 900 bytes", len(signedIn))
	}
	for n := range uint64(100) {
		_, err := s.Create(t.Context(), anonymous(n, 700, 0), store.Terms{}, began)
		if err != nil && !errors.Is(err, store.ErrFull) {
			t.Fatal(err)
		}
	}
	signInUntilFull(t, s, 1<<31)
	if n := there(t, s, signedIn); n != len(signedIn) {
		t.Errorf("%d of %d sessions of users are gone", len(signedIn)-n, len(signedIn))
	}
}

func TestAnonymousSessionsMakeRoomForUsers(t *testing.T) {
	s := small()
	var visits []store.Record
	for n := range uint64(5000) {
		rec := anonymous(n, int(n%1000), 0)
		if _, err := s.Create(t.Context(), rec, store.Terms{}, began); err != nil {
			t.Fatalf("Create of an anonymous session when others could go: %v", err)
		}
		visits = append(visits, rec)
	}
	before := there(t, s, visits)
	if before == len(visits) {
		t.Fatal("the store was never full")
	}
	signedIn := signInUntilFull(t, s, 1<<30)
	if n := there(t, s, signedIn); n != len(signedIn) {
		t.Errorf("%d of %d sessions of users are gone", len(signedIn)-n, len(signedIn))
	}
	if n := there(t, s, visits); n != 0 {
		t.Errorf("%d of %d anonymous sessions are left in a store too full for a user", n, before)
	}
}

func TestOfAnonymousSessionsThoseNotSeenForLongGoFirst(t *testing.T) {
	s := small()
	var recent, old []store.Record
	for n := range uint64(1200) {
		rec := anonymous(n, 100, 0)
		if n%2 == 0 {
			rec.LastSeen = began.Add(20 * time.Minute)
			recent = append(recent, rec)
		} else {
			old = append(old, rec)
		}
		if _, err := s.Create(t.Context(), rec, store.Terms{}, began); err != nil {
			t.Fatal(err)
		}
	}
	for n := uint64(10_000); n%50 != 0 || there(t, s, old) > len(old)/2; n++ {
		if n == 30_000 {
			t.Fatal("20,000 sessions have not taken the place of those not seen for long")
		}
		if _, err := s.Create(t.Context(), anonymous(n, 100, 25*60), store.Terms{}, began); err != nil {
			t.Fatal(err)
		}
	}
	if n := there(t, s, recent); n < len(recent)*3/4 {
		t.Errorf("when half of those not seen for long were gone, so were %d of %d seen lately", len(recent)-n, len(recent))
	}
}

func TestTheDeadMakeRoom(t *testing.T) {
	s := small()
	signedIn := signInUntilFull(t, s, 1<<30)
	later := began.Add(time.Hour)
	for i := range len(signedIn) / 2 {
		rec := session(uint64(i)+1<<40, 700)
		rec.Created, rec.LastSeen, rec.Absolute = later, later, later.Add(time.Hour)
		if _, err := s.Create(t.Context(), rec, store.Terms{}, later); err != nil {
			t.Fatalf("Create when everything else is dead: %v", err)
		}
	}
	if there(t, s, signedIn) == len(signedIn) {
		t.Error("nobody went")
	}
}

func TestTheDeadGoBeforeAnonymousSessions(t *testing.T) {
	s := small()
	var visits []store.Record
	for n := uint64(0); n%50 != 0 || there(t, s, visits) == len(visits); n++ {
		visit := anonymous(2*n, 100, 45*60)
		for _, rec := range []store.Record{session(2*n+1, 100), visit} {
			if _, err := s.Create(t.Context(), rec, store.Terms{}, began); err != nil {
				t.Fatal(err)
			}
		}
		visits = append(visits, visit)
	}
	before := there(t, s, visits)
	later := began.Add(time.Hour)
	for i := range uint64(100) {
		rec := session(1<<40+i, 100)
		rec.LastSeen, rec.Absolute = later, later.Add(time.Hour)
		if _, err := s.Create(t.Context(), rec, store.Terms{}, later); err != nil {
			t.Fatal(err)
		}
	}
	if n := there(t, s, visits); n != before {
		t.Errorf("%d of %d anonymous sessions are gone, although users' sessions are dead", before-n, before)
	}
}

func TestARecordTooLargeForTheStoreEndsNobody(t *testing.T) {
	s := small()
	rec := anonymous(1, 1000, 0)
	if _, err := s.Create(t.Context(), rec, store.Terms{}, began); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), session(2, 2<<20), store.Terms{}, began); !errors.Is(err, store.ErrFull) {
		t.Errorf("Create of 2 MiB in a store of 1 MiB: %v, want ErrFull", err)
	}
	large := rec
	large.Version, large.Data = 2, make([]byte, 2<<20)
	if err := s.Update(t.Context(), large, rec.Version, began); !errors.Is(err, store.ErrFull) {
		t.Errorf("Update to 2 MiB in a store of 1 MiB: %v, want ErrFull", err)
	}
	var got store.Record
	if err := s.Load(t.Context(), rec.ID, &got, store.Fresh); err != nil || got.Version != rec.Version || len(got.Data) != 1000 {
		t.Errorf("after writes that were refused: version %d, %d bytes, %v", got.Version, len(got.Data), err)
	}
}

func TestAFullStoreTakesUpdatesThatDoNotGrow(t *testing.T) {
	s := small()
	signedIn := signInUntilFull(t, s, 1<<30)
	for n := uint64(0); ; n++ {
		if _, err := s.Create(t.Context(), session(n, 0), store.Terms{}, began); errors.Is(err, store.ErrFull) {
			break
		}
	}
	for i, rec := range signedIn {
		was := rec.Version
		rec.Version++
		rec.Data = make([]byte, len(rec.Data)*(i%2))
		if err := s.Update(t.Context(), rec, was, began); err != nil {
			t.Fatalf("Update from %d to %d bytes in a full store: %v", len(signedIn[i].Data), len(rec.Data), err)
		}
	}
}

func TestTheBoundIsKept(t *testing.T) {
	const bound = 8 << 20
	before := heap()
	s := memstore.New(&memstore.Options{MaxBytes: bound})
	for n := range uint64(30_000) {
		if _, err := s.Create(t.Context(), anonymous(n, rand.IntN(1000), 0), store.Terms{}, began); err != nil {
			t.Fatal(err)
		}
	}
	if grown := heap() - before; grown > bound*5/4 || grown < bound/2 {
		t.Errorf("a store of at most %d bytes takes %d", bound, grown)
	}
	runtime.KeepAlive(s)
}

func TestRecordsAreInvisibleToTheGarbageCollector(t *testing.T) {
	const count = 20_000
	objects := func() int64 {
		heap()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapObjects)
	}
	before := objects()
	s := memstore.New(nil)
	fill(t, s, 0, count, always(235))
	if grown := objects() - before; grown > count/4 {
		t.Errorf("%d sessions are %d objects on the heap", count, grown)
	}
	runtime.KeepAlive(s)
}

func TestLoadAllocatesNothingWhereTheRecordHasRoom(t *testing.T) {
	s := memstore.New(nil)
	fill(t, s, 0, 10, always(300))
	var rec store.Record
	id := session(3, 0).ID
	allocs := testing.AllocsPerRun(100, func() {
		if err := s.Load(t.Context(), id, &rec, store.Cached); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("Load of the same subject's record allocates %v times", allocs)
	}
}

func TestRecordsOutOfBoundsAreRefused(t *testing.T) {
	s := memstore.New(nil)
	subject, head := session(1, 10), session(2, 10)
	subject.Subject = fmt.Sprintf("%0*d", store.MaxSubject+1, 1)
	head.Head = make([]byte, store.MaxHead+1)
	for _, rec := range []store.Record{subject, head} {
		if _, err := s.Create(t.Context(), rec, store.Terms{}, began); err == nil {
			t.Errorf("Create of a record with a subject of %d bytes and a head of %d: no error", len(rec.Subject), len(rec.Head))
		}
	}
	fine := session(3, 10)
	if _, err := s.Create(t.Context(), fine, store.Terms{}, began); err != nil {
		t.Fatal(err)
	}
	fine.Head = head.Head
	if err := s.Update(t.Context(), fine, fine.Version, began); err == nil {
		t.Error("Update to a head out of bounds: no error")
	}
}
