package coatcheck

import (
	"net/http"
	"strings"
	"time"

	"github.com/coatcheck/coatcheck/dbsc"
	"github.com/coatcheck/coatcheck/internal/secret"
)

// setCookie prepares the Set-Cookie line with the session's token. It is kept
// out of the response's header until the final one is sent.
func (s *Session) setCookie(which int) {
	m := s.manager
	var maxAge time.Duration
	if s.head.Remembered {
		maxAge = s.record.Absolute.Sub(m.now())
	}
	var line [192]byte // room for most, and not on the heap
	var token [secret.TokenLen]byte
	s.setsCookie = true
	s.setLines[which] = string(m.attributes.AppendSet(line[:0], m.names[which], s.token.AppendReveal(token[:0]), maxAge))
}

// expireCookie prepares the line that makes the browser drop the cookie.
func (s *Session) expireCookie(which int) {
	s.setsCookie = true
	s.setLines[which] = s.manager.attributes.Expire(s.manager.names[which])
}

// writeHeader adds to the header of a response what belongs there by now. The
// session has been asked for. mu is held.
func (s *Session) writeHeader(h http.Header) {
	s.writeCookies(h)
	if s.offer != "" {
		h.Set(dbsc.HeaderRegistration, s.manager.config.DeviceBound.RegistrationHeader(s.offer))
	}
	s.writeVary(h, s.lent[0:1:1])
	s.writeCacheControl(h, s.lent[1:2:2])
}

// writeCookies adds the prepared lines, one for a name at most: whatever the
// handler itself set under these names goes.
func (s *Session) writeCookies(h http.Header) {
	if !s.setsCookie {
		return
	}
	for which, line := range s.setLines {
		if line == "" {
			continue
		}
		there := h["Set-Cookie"]
		kept := make([]string, 0, 1+len(there))
		for _, other := range there {
			if value, same := strings.CutPrefix(other, s.manager.names[which]); !same || !strings.HasPrefix(value, "=") {
				kept = append(kept, other)
			}
		}
		h["Set-Cookie"] = append(kept, line)
	}
}

// writeVary says that the response depends on the cookies, once.
func (s *Session) writeVary(h http.Header, lent []string) {
	vary := h["Vary"]
	if len(vary) == 0 {
		lent[0] = "Cookie"
		h["Vary"] = lent
		return
	}
	for _, value := range vary {
		for field := range strings.SplitSeq(value, ",") {
			if field = strings.TrimSpace(field); field == "*" || strings.EqualFold(field, "Cookie") {
				return
			}
		}
	}
	h["Vary"] = append(vary[:len(vary):len(vary)], "Cookie")
}

// writeCacheControl keeps tokens and private pages out of every cache. Nothing
// else does: Set-Cookie does not stop a shared cache (RFC 9111, 7.3), and with
// Vary alone the Back button shows the private page after sign-out.
func (s *Session) writeCacheControl(h http.Header, lent []string) {
	control := h["Cache-Control"]
	if s.setsCookie {
		for _, value := range control {
			if strings.Contains(strings.ToLower(value), "no-store") {
				return
			}
		}
	} else if len(control) > 0 || !(s.is == holds && s.head.SignedIn || s.is == ended || s.is == stale || s.is == unproven) {
		return
	}
	lent[0] = "no-store"
	h["Cache-Control"] = lent
}
