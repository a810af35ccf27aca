package exchange

import (
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/coatcheck/coatcheck/store"
)

const (
	tokenLength = 64
	shownOfIt   = 4
	dots        = "••••••••"

	maxCookies = 8
	maxText    = 300
)

// masked is a cookie's value as it may be shown. Of a token the first four
// characters are part of the public id; of any other value nothing is shown,
// because nobody here knows what it means.
func masked(value string) string {
	switch len(value) {
	case 0:
		return ""
	case tokenLength:
		return clipped(value, shownOfIt) + dots
	default:
		return dots
	}
}

// idOf reads the public id from a token.
func idOf(token string) (id store.ID, ok bool) {
	if len(token) != tokenLength {
		return id, false
	}
	bytes, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return id, false
	}
	return store.ID(bytes[:len(id)]), true
}

// brought reads the cookies of a request, and the ids that its session cookies
// claim to be.
func (r *Recorder) brought(header http.Header) (cookies []Cookie, claims []store.ID) {
	for _, line := range header.Values("Cookie") {
		for pair := range strings.SplitSeq(line, ";") {
			name, value, named := strings.Cut(strings.TrimSpace(pair), "=")
			if len(cookies) == maxCookies {
				break
			}
			if !named { // a cookie without a name is all value
				name, value = "", name
			}
			ours := r.isSession(name)
			cookies = append(cookies, Cookie{Name: clipped(name, maxText), Shown: masked(value), Session: ours})
			if id, ok := idOf(value); ok && ours {
				claims = append(claims, id)
			}
		}
	}
	return cookies, claims
}

// set reads the cookies of an answer, and the id of the session cookie that it
// gives out.
func (r *Recorder) set(header http.Header) (cookies []Cookie, given store.ID) {
	for _, line := range header.Values("Set-Cookie") {
		parts := strings.Split(line, ";")
		name, value, _ := strings.Cut(parts[0], "=")
		cookie := Cookie{Name: clipped(name, maxText), Shown: masked(value), Session: r.isSession(name)}
		for _, attribute := range parts[1:] {
			attribute = strings.TrimSpace(attribute)
			cookie.Attributes = append(cookie.Attributes, attribute)
			cookie.Gone = cookie.Gone || strings.EqualFold(attribute, "Max-Age=0")
		}
		cookies = append(cookies, cookie)
		if id, ok := idOf(value); ok && cookie.Session {
			given = id
		}
	}
	return cookies, given
}

func (r *Recorder) isSession(name string) bool {
	return name == r.cookie || name == r.cookie+"-visit"
}

// clipped shortens text that a stranger may have made long.
func clipped(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") // a character may have been cut in half
}
