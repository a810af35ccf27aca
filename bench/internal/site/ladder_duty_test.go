package site

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"time"
)

// dutyChecks are how it shows that a site keeps a duty: each fails where it is
// left out.
var dutyChecks = map[duties]func(*dutifulSite) error{
	ownRequest: func(s *dutifulSite) error { return ownsRequest(s.handle) },
	twoClocks: func(s *dutifulSite) error {
		const pause = 2 * time.Millisecond
		before := time.Now()
		var began time.Time
		v, _ := s.visited(func(v *visit) {
			began = v.now
			time.Sleep(pause)
		})
		if began.Before(before) || time.Since(began) > time.Minute {
			return fmt.Errorf("began at %v", began)
		}
		if took := v.now.Sub(began); took < pause || took > time.Minute {
			return fmt.Errorf("the answer began %v later", took)
		}
		return nil
	},
	idAndVerifier: func(s *dutifulSite) error {
		h, c := s.signedIn()
		t, ok := parseToken(strings.TrimPrefix(c, floorCookie+"="))
		if !ok {
			return errors.New("the token is not an id and a secret")
		}
		bound := sha256.Sum256(slices.Concat([]byte("ld1-open\x02id"), t.secret[:]))
		if kept := s.verifierOf(t.id); string(kept) != string(bound[:]) {
			return fmt.Errorf("of the secret is kept %x, want %x", kept, bound)
		}
		t.secret[31] ^= 1
		forged, _, _ := strings.Cut(t.line(), ";")
		return wantBody(ask(h[ReadOne], forged, nil), "")
	},
	allCookies: func(s *dutifulSite) error {
		h, c := s.signedIn()
		if w := ask(h[ReadOne], c+"; "+c, nil); w.status != http.StatusBadRequest {
			return fmt.Errorf("a cookie twice: status %d", w.status)
		}
		w := ask(h[ReadOne], c, func(r *http.Request) { r.Method = "POST"; r.Header.Set("Sec-Fetch-Site", "cross-site") })
		return wantStatus(w, http.StatusForbidden)
	},
	limits: func(s *dutifulSite) error {
		h, c := s.signedIn()
		s.only().set(24, s.only().uint64(24)-2*60e6)
		ask(h[ReadOne], c, nil)
		if ago := time.Since(time.UnixMicro(s.only().lastSeen())); ago > time.Minute {
			return fmt.Errorf("last seen %v ago", ago)
		}
		var answers int64 // what counts is when the answer begins
		s.only().set(24, uint64(time.Now().UnixMicro()-60e6))
		ask(s.handle(func(_ http.ResponseWriter, r *http.Request) {
			sessionOf(r)
			time.Sleep(2 * time.Millisecond)
			answers = time.Now().UnixMicro()
		}), c, nil)
		if early := answers - s.only().lastSeen(); early > 0 {
			return fmt.Errorf("last seen %d µs before the answer", early)
		}
		s.only().set(24, s.only().uint64(24)-idleFor)
		return wantBody(ask(h[ReadOne], c, nil), "")
	},
	cacheHeaders: func(s *dutifulSite) error {
		h, c := s.signedIn()
		got := fmt.Sprint(ask(h[ReadOne], c, nil).header)
		return want(got, "map[Cache-Control:[no-store] Vary:[Cookie]]")
	},
	toTheEnd: func(s *dutifulSite) error {
		var meanwhile string
		v, _ := s.visited(func(v *visit) {
			v.mu.Lock()
			got := make(chan string)
			go func() { got <- v.text(nameKey) }()
			select {
			case meanwhile = <-got:
				v.mu.Unlock()
			case <-time.After(5 * time.Millisecond):
				v.mu.Unlock()
				<-got
			}
		})
		return want(meanwhile+v.text(nameKey), "")
	},
	ownCopy: func(s *dutifulSite) error {
		var read string
		_, c := s.visited(func(v *visit) {
			for _, l := range s.live {
				l.values[nameKey] = "Another"
			}
			for _, row := range s.rows {
				copy(row.record[bytes.Index(row.record, []byte(name))+1:], "LICE")
			}
			read = v.text(nameKey)
		})
		if err := want(read, name); err != nil {
			return err
		}
		return wantBody(ask(s.handlers(Small)[ReadOne], c, nil), "ALICE Example") // so it is read from the bytes
	},
	usedAgain: func(s *dutifulSite) error {
		h, c := s.signedIn()
		var other *held // in which data lay that another user's session does not get
		s.visited(func(v *visit) {
			other = v.held
			v.signIn("bob")
		})
		if other != nil && other.left() != "" {
			return errors.New("after a sign-in there is left " + other.left())
		}
		known := map[*held]bool{}
		for range 100 { // a pool may lose what it was given
			var used *held
			ask(s.handle(func(w http.ResponseWriter, r *http.Request) {
				v, _ := sessionOf(r)
				v.number(visitsKey)
				used = v.held
			}), c, nil)
			if used == nil {
				return errors.New("a request holds nothing")
			}
			if left := used.left(); left != "" {
				return errors.New("after the request there is left " + left)
			}
			if known[used] {
				return wantBody(ask(h[ReadOne], c, nil), name)
			}
			known[used] = true
		}
		return errors.New("nothing was used again")
	},
	gathered: func(s *dutifulSite) error {
		_, c := s.signedIn()
		version := s.only().version()
		w := ask(s.handle(func(w http.ResponseWriter, r *http.Request) {
			v, _ := sessionOf(r)
			v.setNumber(visitsKey, 7)
			w.Header().Set("Stored", fmt.Sprint(s.only().version() != version))
		}), c, nil)
		return want(w.header.Get("Stored")+fmt.Sprint(s.only().version() != version), "falsetrue")
	},
	compareAndSwap: func(s *dutifulSite) error {
		h, c := s.signedIn()
		ask(s.handle(func(_ http.ResponseWriter, r *http.Request) {
			v, _ := sessionOf(r)
			v.setNumber("another", 7)
			ask(h[WriteOne], c, nil)
		}), c, nil)
		return wantBody(ask(h[WriteOne], c, nil), "odd") // the third, after both were kept
	},
	conditional: func(s *dutifulSite) error {
		h, c := s.signedIn()
		w := ask(s.handle(func(w http.ResponseWriter, r *http.Request) {
			v, _ := sessionOf(r)
			v.setNumber(visitsKey, v.number(visitsKey)+1)
			ask(h[WriteOne], c, nil)
			io.WriteString(w, "kept")
		}), c, nil)
		return wantStatus(w, http.StatusConflict)
	},
	finalEnd: func(s *dutifulSite) error {
		_, c := s.signedIn()
		w := ask(s.handle(func(w http.ResponseWriter, r *http.Request) {
			v, _ := sessionOf(r)
			v.setNumber(visitsKey, 7)
			s.only().set(40, 1) // its time is over, at the version that was read
			io.WriteString(w, "answered")
		}), c, nil)
		if err := wantBody(w, "answered"); err != nil {
			return err
		}
		_, value, _ := find(s.only()[s.only().dataAt():], visitsKey)
		return want(fmt.Sprint(value), "[2]")
	},
	cookieLast: func(s *dutifulSite) error {
		w := ask(s.handle(func(w http.ResponseWriter, r *http.Request) {
			v, _ := sessionOf(r)
			v.signIn("alice")
			w.Header().Set("Early", fmt.Sprint(len(w.Header()["Set-Cookie"])))
		}), "", nil)
		return want(w.header.Get("Early")+fmt.Sprint(len(w.header["Set-Cookie"])), "01")
	},
	secureTransport: func(s *dutifulSite) error {
		h := s.handlers(Small)
		return wantStatus(ask(h[SignIn], "", func(r *http.Request) { r.Host = "example.com" }), http.StatusBadRequest)
	},
	familyAndPlace: func(s *dutifulSite) error {
		h := s.handlers(Small)
		a, b := ask(h[SignIn], "", nil).cookie(), ask(h[SignIn], "", nil).cookie()
		if a[:len(floorCookie)+3] != b[:len(floorCookie)+3] {
			return fmt.Errorf("%s and %s lie apart", a, b)
		}
		t, _ := parseToken(strings.TrimPrefix(b, floorCookie+"="))
		family := sha256.Sum256(slices.Concat([]byte("ld1-line\x02id"), t.secret[:familyLen]))
		return want(string(s.only().family()), string(family[:16]))
	},
	description: func(s *dutifulSite) error {
		s.signedIn()
		if !bytes.Contains(s.only(), []byte("aliceFirefox on Linux192.0.2.0/24")) {
			return fmt.Errorf("kept as %q", s.only())
		}
		return nil
	},
	subjectIndex: func(s *dutifulSite) error {
		h := s.handlers(Small)
		for range mostPerSubject + 5 {
			ask(h[SignIn], "", nil)
		}
		return want(fmt.Sprint(len(s.byID)), fmt.Sprint(mostPerSubject))
	},
	retirement: func(s *dutifulSite) error {
		h, c := s.signedIn()
		ask(h[SignIn], c, nil)
		if err := wantStatus(ask(h[WriteOne], c, nil), http.StatusConflict); err != nil {
			return err
		}
		var late *recorder // what another wrote meanwhile is in the new session
		h, c = s.signedIn()
		ask(s.handle(func(w http.ResponseWriter, r *http.Request) {
			v, _ := sessionOf(r)
			ask(h[WriteOne], c, nil)
			v.signIn("alice")
			w.WriteHeader(http.StatusOK)
			late = ask(h[WriteOne], cookies(w.Header()["Set-Cookie"]), nil)
		}), c, nil)
		return wantBody(late, "odd")
	},
	wrappedKey: func(s *dutifulSite) error {
		var key dataKey
		_, c := s.visited(func(v *visit) { key = v.key })
		t, _ := parseToken(strings.TrimPrefix(c, floorCookie+"="))
		pad := sha256.Sum256(slices.Concat([]byte("ld1-wrap\x02id"), t.secret[:]))
		r := s.only()
		if r[0]&flagWrap == 0 || key == (dataKey{}) {
			return errors.New("there is no key")
		}
		var unwrapped dataKey
		for i, b := range r.wrap() {
			unwrapped[i] = b ^ pad[i]
		}
		if unwrapped != key {
			return fmt.Errorf("the key is %x, wrapped is %x", key, unwrapped)
		}
		s.visited(func(v *visit) {
			if v.key == key {
				key = dataKey{}
			}
		})
		if key == (dataKey{}) {
			return errors.New("two sessions have one key")
		}
		return nil
	},
	ownCipher: func(s *dutifulSite) error {
		var key dataKey
		var used sealer
		s.visited(func(v *visit) { key, used = v.key, v.cipher })
		if used == nil {
			return errors.New("there is no cipher")
		}
		block, err := aes.NewCipher(key[:])
		if err != nil {
			return err
		}
		gcm, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return err
		}
		_, err = used.Open(nil, nil, gcm.Seal(nil, nil, []byte(name), nil), nil)
		return err
	},
	sealedData: func(s *dutifulSite) error {
		var sealed [2]string
		s.visited(func(v *visit) {
			for i := range sealed {
				sealed[i] = string(v.seal(v.working))
			}
			if _, err := v.cipher.Open(nil, nil, []byte(sealed[0]), v.boundTo(sessionID{1})); err == nil {
				sealed[1] = sealed[0] // it opens as another session's
			}
		})
		if bytes.Contains(s.only(), []byte(name)) || sealed[0] == sealed[1] {
			return fmt.Errorf("kept as %q, sealed as %q", s.only(), sealed)
		}
		return nil
	},
	keptCiphers: func(s *dutifulSite) error {
		h, c := s.signedIn()
		var used [2]sealer
		for i := range used {
			ask(s.handle(func(_ http.ResponseWriter, r *http.Request) {
				v, _ := sessionOf(r)
				used[i] = v.cipher
			}), c, nil)
		}
		if used[0] == nil || used[0] != used[1] {
			return errors.New("the second request has another cipher")
		}
		s.only().wrap()[0] ^= 1 // for another key there is another
		return wantStatus(ask(h[ReadOne], c, nil), http.StatusServiceUnavailable)
	},
}

// openOnly are duties whose check reads or changes data that lies open.
const openOnly = ownCopy | finalEnd

// ownsRequest is the check of ownRequest, also for what has not its sites.
func ownsRequest(handle func(http.HandlerFunc) http.Handler) (err error) {
	var outer *http.Request
	server := &recorder{header: http.Header{}}
	inner := handle(func(w http.ResponseWriter, r *http.Request) {
		v, ok := r.Context().Value(visitKey{}).(*visit)
		switch {
		case r == outer || w == http.ResponseWriter(server):
			err = errors.New("the handler has the server's")
		case !ok:
			err = errors.New("the context does not know the session")
		case !is[http.Flusher](w) || !is[http.Hijacker](w) || !is[io.ReaderFrom](w) || !is[io.StringWriter](w):
			err = fmt.Errorf("%T has not the abilities of the server's", w)
		case v.started:
			err = errors.New("the answer has started")
		}
		if err != nil {
			return
		}
		if io.WriteString(w, name); !v.started || string(server.body) != name {
			err = fmt.Errorf("started %t, answered %q", v.started, server.body)
		}
	})
	outer = httptest.NewRequest("GET", "http://localhost/", nil)
	inner.ServeHTTP(server, outer)
	return err
}

// visited starts a session and makes a request that has opened it, and returns
// what the request was given.
func (s *dutifulSite) visited(f func(*visit)) (v *visit, cookie string) {
	_, cookie = s.signedIn()
	ask(s.handle(func(w http.ResponseWriter, r *http.Request) {
		v, _ = sessionOf(r)
		f(v)
	}), cookie, nil)
	return v, cookie
}

// verifierOf is what is kept of a session's secret.
func (s *dutifulSite) verifierOf(id sessionID) []byte {
	if at := s.byID[id]; at != 0 {
		return s.rows[at].record.current()
	}
	var key [32]byte
	copy(key[:], id[:])
	if l := s.live[key]; l != nil {
		return l.verifier[:]
	}
	return nil
}

// left is what is not wiped of what a request held.
func (h *held) left() string {
	for _, space := range append(h.dataSpace[:], h.recordSpace, h.sealedSpace) {
		if len(space) > 0 || len(bytes.Trim(space[:cap(space)], "\x00")) > 0 {
			return fmt.Sprintf("%q", space[:cap(space)])
		}
	}
	empty := *h
	empty.dataSpace, empty.recordSpace, empty.sealedSpace = [3][]byte{}, nil, nil
	if !reflect.ValueOf(empty).IsZero() {
		return fmt.Sprintf("%+v", empty)
	}
	return ""
}
