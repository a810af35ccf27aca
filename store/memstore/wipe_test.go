package memstore

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/coatcheck/coatcheck/store"
)

func TestWhatWasDeletedIsWiped(t *testing.T) {
	s := New(nil)
	random := rand.New(rand.NewPCG(7, 8))
	secret := []byte("correct horse battery staple")
	var ids []store.ID
	for range 1000 {
		rec := randomRecord(random)
		rec.Data = secret
		if _, err := s.Create(t.Context(), rec, store.Terms{}, noon); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, rec.ID)
	}
	if _, err := s.Delete(t.Context(), ids[:500]...); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids[500:750] {
		var rec store.Record
		if err := s.Load(t.Context(), id, &rec, store.Fresh); err != nil {
			t.Fatal(err)
		}
		rec.Data = rec.Data[:10]
		if err := s.Update(t.Context(), rec, rec.Version, noon); err != nil {
			t.Fatal(err)
		}
	}
	found := 0
	for i := range s.shards {
		for _, c := range s.shards[i].slots.chunks {
			found += bytes.Count(c.mem, secret[10:])
		}
	}
	if found != 250 {
		t.Errorf("the data of 250 sessions lies in memory %d times", found)
	}
}

func TestMemoryThatIsReturnedIsWiped(t *testing.T) {
	secret := []byte("correct horse battery staple")
	for name, end := range map[string]func(*Store) error{
		"by DeleteAll": func(s *Store) error {
			_, err := s.DeleteAll(t.Context(), noon)
			return err
		},
		"to make room": func(s *Store) error {
			s.dropAnonymous(0, store.ID{})
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := New(nil)
			rec := recordIn(0, 1, "", 0)
			rec.Data = secret
			mem := s.shards[0].slots.chunks[create(t, s, rec)>>refSlotBits].mem
			if err := end(s); err != nil {
				t.Fatal(err)
			}
			if isThere(t, s, rec) || bytes.Contains(mem, secret) {
				t.Error("what was deleted lies in memory that was returned")
			}
		})
	}
}

func TestRowsThatMoveAreWipedWhereTheyWere(t *testing.T) {
	s := New(nil)
	secret := []byte("correct horse battery staple")
	var early [][]byte
	for n := range uint64(2000) {
		rec := recordIn(0, n, "alice", 0)
		rec.Data = secret
		if create(t, s, rec); n == 10 {
			for _, c := range s.shards[0].slots.chunks {
				early = append(early, c.mem)
			}
		}
	}
	for _, mem := range early {
		if bytes.Contains(mem, secret) {
			t.Error("rows lie where they were before they were moved, too")
		}
	}
}
