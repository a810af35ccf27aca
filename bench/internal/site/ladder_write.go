package site

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
)

// setNumber changes a value.
func (v *visit) setNumber(key string, n int) error {
	var space [binary.MaxVarintLen64]byte
	value := binary.AppendVarint(space[:0], int64(n))
	v.lock()
	defer v.unlock()
	if err := v.writable(); err != nil {
		return err
	}
	next := &v.dataSpace[1+v.puts%2]
	*next = put((*next)[:0], v.working, key, tagNumber, value)
	if v.site.owes.has(conditional) && len(*next) > mostData {
		return errTooLarge
	}
	v.working = *next
	v.puts++
	if !v.site.owes.has(gathered) {
		return v.site.swap(v, 0)
	}
	if !slices.Contains(v.changed, key) {
		if v.changed == nil {
			v.changed = v.changedSpace[:0]
		}
		v.changed = append(v.changed, key)
	}
	return nil
}

// writable returns why nothing can be changed now, or nil. mu is held.
func (v *visit) writable() error {
	switch {
	case !v.opened || v.started:
		return errOver
	case v.err != nil:
		return v.err
	case v.standing == stale:
		return errStale
	case v.standing == nobody:
		return errNobody
	}
	return nil
}

// conclude stores what was gathered, or that the visitor was here. mu is held.
func (v *visit) conclude(now int64) error {
	switch {
	case v.err != nil || v.standing != holds || v.live != nil:
	case len(v.changed) > 0:
		if err := v.commit(now); !errors.Is(err, errNobody) {
			return err
		} // else it ended meanwhile: what was written is dropped
	case v.site.owes.has(limits) && v.record.touchDue(now):
		v.site.touch(v.token.id, now)
	}
	return nil
}

const mostTries = 16

// commit stores what was gathered in place of what was loaded.
func (v *visit) commit(now int64) error {
	for range mostTries {
		err := v.site.swap(v, now)
		if !errors.Is(err, errConflict) {
			return err
		}
		if err := v.again(now); err != nil {
			return err
		}
	}
	return errConflict
}

// swap replaces a record's data, in place where it fits. errNobody: it is not
// there any more. errConflict: another version of it is.
func (s *dutifulSite) swap(v *visit, now int64) error {
	data := v.seal(v.working)
	version := uint64(1)
	if s.owes.has(compareAndSwap) {
		version = rand.Uint64()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.byID[v.token.id]
	if at == 0 {
		return errNobody
	}
	r := s.rows[at].record
	if s.owes.has(compareAndSwap) && r.version() != v.version {
		return errConflict
	}
	if s.owes.has(finalEnd) {
		if !r.live(now) {
			return errNobody
		}
		if r.touchDue(now) {
			r.set(24, uint64(now))
		}
	}
	grown := r.dataAt() + len(data) - len(r)
	if s.bytes+grown > mostBytes {
		return errFull
	}
	s.bytes += grown
	r.set(8, version)
	s.rows[at].record = append(r[:r.dataAt()], data...)
	v.version = version
	return nil
}

// again loads what is there now and does what was changed again to that, if
// the token still opens it. Only a conflict leads here, so it takes new memory.
func (v *visit) again(now int64) error {
	newer := &visit{site: v.site, held: &held{token: v.token}}
	if !newer.load() {
		return errNobody
	}
	switch newer.judge(now) {
	case stale:
		return errStale
	case nobody:
		return errNobody
	}
	if err := newer.unseal(); err != nil {
		return err
	}
	for _, key := range v.changed {
		oldForm, old, _ := find(v.base, key)
		form, value, _ := find(newer.base, key)
		if slices.Contains(v.reads, key) && (form != oldForm || string(value) != string(old)) {
			return errConflict
		}
		form, value, _ = find(v.working, key)
		newer.working = put(nil, newer.working, key, form, value)
	}
	v.record, v.version, v.base, v.working = newer.record, newer.version, newer.base, newer.working
	return nil
}
