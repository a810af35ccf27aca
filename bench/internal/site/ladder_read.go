package site

import (
	"encoding/binary"
	"slices"
)

// open finds the session of the request. mu is held.
func (v *visit) open() {
	s := v.site
	v.opened = true
	switch {
	case s.owes.has(usedAgain):
		v.held = s.held.Get().(*held)
	case s.owes.has(ownCopy):
		v.held = new(held)
	}
	if !s.owes.has(idAndVerifier) {
		if hash, ok := floorToken(&v.request); ok {
			v.openLive(hash)
		}
		return
	}
	var found [len(cookieNames)]string
	if s.owes.has(allCookies) {
		if found, v.err = scanCookies(&v.request); v.err != nil {
			return
		}
	} else {
		found[0] = firstCookie(&v.request)
	}
	for _, text := range found {
		if t, ok := parseToken(text); ok {
			v.present(t)
		}
		if v.standing != nobody || v.err != nil {
			return
		}
	}
}

// openLive looks among the live sessions.
func (v *visit) openLive(key [32]byte) {
	v.site.mu.RLock()
	v.live = v.site.live[key]
	v.site.mu.RUnlock()
	if v.live != nil {
		v.standing = holds
	}
}

// present shows one token.
func (v *visit) present(t token) {
	if !v.site.owes.has(ownCopy) {
		var key [32]byte
		copy(key[:], t.id[:])
		v.openLive(key)
		if given := t.secret.verifier(labelOpen); v.live != nil && !given.equal(v.live.verifier[:]) {
			v.live, v.standing = nil, nobody
		}
		return
	}
	v.token = t
	if v.load() {
		v.standing = v.judge(v.now.UnixMicro())
	}
	if v.standing == holds {
		v.err = v.unseal()
	}
}

// load copies the record of the token's id.
func (v *visit) load() (found bool) {
	h := v.held
	space := &h.dataSpace[0]
	if v.site.owes.has(sealedData) {
		space = &h.sealedSpace
	}
	var rec record
	if rec, *space, found = v.site.load(h.token.id, h.recordSpace, *space); !found {
		return false
	}
	h.record, h.recordSpace = rec, rec
	h.version, h.base, h.working = rec.version(), *space, *space
	return true
}

// judge says what the loaded record is to the token, and ends what is over.
func (v *visit) judge(now int64) standing {
	r := v.record
	v.given = v.token.secret.verifier(labelOpen)
	good := v.given.equal(r.current())
	if !v.site.owes.has(limits) {
		if good {
			return holds
		}
		return nobody
	}
	if good && r.live(now) {
		return holds
	}
	if good && r.retired() && now < r.absolute() {
		return stale
	}
	family := v.token.secret.family()
	if good || string(family[:]) == string(r.family()) { // it has run out, or its token was stolen
		v.site.remove(v.token.id)
	}
	return nobody
}

// value finds a value, lent, and notes that it was read. mu is held.
func (v *visit) value(key string) (form byte, value []byte) {
	if v.standing != holds {
		return 0, nil
	}
	if v.site.owes.has(conditional) && !slices.Contains(v.changed, key) && !slices.Contains(v.reads, key) {
		if v.reads == nil {
			v.reads = v.readSpace[:0]
		}
		v.reads = append(v.reads, key)
	}
	form, value, _ = find(v.working, key)
	return form, value
}

// text returns a text, "" if there is none.
func (v *visit) text(key string) string {
	v.lock()
	defer v.unlock()
	if v.live != nil {
		v.live.mu.Lock()
		defer v.live.mu.Unlock()
		text, _ := v.live.values[key].(string)
		return text
	}
	if form, value := v.value(key); form == tagText {
		return string(value)
	}
	return ""
}

// number returns a number, 0 if there is none.
func (v *visit) number(key string) int {
	v.lock()
	defer v.unlock()
	if form, value := v.value(key); form == tagNumber {
		n, _ := binary.Varint(value)
		return int(n)
	}
	return 0
}
