package site

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

const (
	idleFor     = 30 * 60e6 // microseconds
	absoluteFor = 12 * 3600e6
	staleFor    = 30e6
)

// signIn gives the visitor a new session of a subject, with the data of the one
// before unless that was another subject's, and takes that one out of use.
func (v *visit) signIn(subject string) error {
	v.lock()
	defer v.unlock()
	s, now := v.site, v.now.UnixMicro()
	if err := v.writable(); err != nil && !errors.Is(err, errNobody) {
		return err
	}
	if s.owes.has(secureTransport) && !secure(&v.request) {
		return errPlain
	}
	placedBy := ""
	if s.owes.has(familyAndPlace) {
		placedBy = subject
	}
	t, key := drawToken(placedBy, s.owes.has(wrappedKey))
	cipher := s.cipherOf(&key)
	replaces := v.standing == holds && string(v.record.subject()) == subject
	for range mostTries {
		if v.standing == holds && !replaces {
			v.working, v.changed = nil, nil
		}
		r := v.newRecord(&t, &key, cipher, subject, now)
		if err := s.create(t.id, r, subject, replaces, v.token.id); err != nil {
			return err
		}
		err := v.supersede(now)
		if err == nil {
			v.install(t, key, cipher, r)
			return nil
		}
		s.remove(t.id) // nobody has its token yet
		if !errors.Is(err, errConflict) {
			return err
		}
		switch err := v.again(now); {
		case errors.Is(err, errNobody):
			v.standing, replaces = nobody, false // it ended meanwhile
		case err != nil:
			return err
		}
	}
	return errConflict
}

// supersede takes the session before out of use. errConflict: it has been
// written to since it was loaded.
func (v *visit) supersede(now int64) error {
	switch {
	case v.standing != holds:
		return nil
	case v.site.owes.has(retirement):
		return v.site.retire(v.token.id, v.version, now)
	}
	v.site.remove(v.token.id)
	return nil
}

// install makes the new session that of the request.
func (v *visit) install(t token, key dataKey, cipher sealer, r record) {
	v.token, v.key, v.cipher, v.standing = t, key, cipher, holds
	v.recordSpace = append(v.recordSpace[:0], r[:r.dataAt()]...)
	v.record, v.version = v.recordSpace, r.version()
	if v.site.owes.has(keptCiphers) {
		copy(v.given[:], v.record.current())
		v.keepCipher()
	}
	v.dataSpace[0] = append(v.dataSpace[0][:0], v.working...)
	v.base, v.working, v.changed, v.reads = v.dataSpace[0], v.dataSpace[0], nil, nil
	if line := t.line(); v.site.owes.has(cookieLast) {
		v.line = line
	} else {
		v.writer.Header()["Set-Cookie"] = []string{line}
	}
}

// newRecord writes the record of a new session, with what the request has of
// data.
func (v *visit) newRecord(t *token, key *dataKey, cipher sealer, subject string, now int64) record {
	s := v.site
	r := make(record, recordFixed, recordFixed+len(key)+len(subject)+len(v.working)+64+sealOverhead)
	r[1] = 1
	r.set(8, rand.Uint64())
	for _, at := range []int{16, 24, 48, 56} { // created, last seen, drawn, authenticated
		r.set(at, uint64(now))
	}
	r.set(32, idleFor)
	r.set(40, uint64(now+absoluteFor))
	verifier := t.secret.verifier(labelOpen)
	copy(r.current(), verifier[:])
	if s.owes.has(familyAndPlace) {
		family := t.secret.family()
		copy(r.family(), family[:])
	}
	if s.owes.has(wrappedKey) {
		r[0] |= flagWrap
		wrapped := t.secret.wrap(key[:])
		r = append(r, wrapped[:]...)
	}
	r = append(r, subject...)
	binary.LittleEndian.PutUint16(r[2:], uint16(len(subject)))
	if s.owes.has(description) {
		before := len(r)
		r = appendDevice(r, v.request.Header.Get("User-Agent"))
		r[4] = byte(len(r) - before)
		before = len(r)
		r = appendNetwork(r, v.request.RemoteAddr)
		r[5] = byte(len(r) - before)
	}
	if s.owes.has(sealedData) {
		return cipher.Seal(r, nil, v.working, v.boundTo(t.id))
	}
	return append(r, v.working...)
}

// create adds a record. The one that it replaces does not count towards the
// subject's limit.
func (s *dutifulSite) create(id sessionID, r record, subject string, replaces bool, replaced sessionID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byID[id] != 0 {
		return errFull
	}
	at, err := s.insert(id, r)
	if err != nil || !s.owes.has(subjectIndex) {
		return err
	}
	most := uint32(mostPerSubject)
	if replaces {
		most++
	}
	if m := s.bySubject[subject]; m != nil && m.count >= most {
		s.evict(m, replaced)
	}
	s.join(at, subject)
	return nil
}

// retire marks a record as superseded, if it is still of that version, and
// takes its data and its place among its subject's away.
func (s *dutifulSite) retire(id sessionID, was uint64, now int64) error {
	version := rand.Uint64()
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.byID[id]
	if at == 0 || !s.rows[at].record.live(now) {
		return errConflict
	}
	r := s.rows[at].record
	if r.version() != was {
		return errConflict
	}
	s.leave(at)
	r[0] |= flagRetired
	r.set(8, version)
	r.set(40, uint64(now+staleFor))
	split := r.dataAt()
	clear(r[split:])
	s.bytes -= len(r) - split
	s.rows[at].record = r[:split]
	return nil
}

// secure reports whether the browser will send a Secure cookie back.
func secure(r *http.Request) bool {
	if r.TLS != nil || r.Host == "localhost" {
		return true
	}
	h := r.Header
	if len(h["Sec-Fetch-Site"]) > 0 || strings.EqualFold(h.Get("X-Forwarded-Proto"), "https") || strings.HasPrefix(h.Get("Origin"), "https://") {
		return true
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || err == nil && ip.IsLoopback()
}

// mark is what a User-Agent has of a browser or a system, and its name.
type mark struct{ has, name string }

// The first that is there counts: browsers carry the marks of those that they
// want to pass for.
var (
	browserMarks = []mark{
		{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"},
		{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	}
	systemMarks = []mark{
		{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iPhone"},
		{"iPad", "iPad"}, {"CrOS", "ChromeOS"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	}
)

func appendDevice(dst record, userAgent string) record {
	dst = appendMark(dst, browserMarks, userAgent)
	dst = append(dst, " on "...)
	return appendMark(dst, systemMarks, userAgent)
}

// appendMark looks at the bytes that a mark may begin with alone: nearly all
// are upper-case letters.
func appendMark(dst record, marks []mark, in string) record {
	best := len(marks)
	for at := range len(in) {
		if c := in[at]; c != 'i' && (c < 'A' || c > 'Z') {
			continue
		}
		for i, m := range marks[:best] {
			if m.has[0] == in[at] && strings.HasPrefix(in[at:], m.has) {
				best = i
				break
			}
		}
	}
	if best == len(marks) {
		return append(dst, '?')
	}
	return append(dst, marks[best].name...)
}

// appendNetwork appends the part of an address that names a network.
func appendNetwork(dst record, remote string) record {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return dst
	}
	bits := 48
	if from.Addr().Is4() {
		bits = 24
	}
	prefix, err := from.Addr().Prefix(bits)
	if err != nil {
		return dst
	}
	return prefix.AppendTo(dst)
}
