package cookie

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Attributes are what all cookies of one manager have in common.
type Attributes struct {
	Domain      string // empty: this host alone
	Insecure    bool   // without Secure: browsers then send it over plain HTTP
	SameSite    string // "Lax", "Strict" or "None"
	Partitioned bool
}

// Check returns an error if a browser would refuse a cookie of that name with
// these attributes (RFC 6265bis, 4.1 and 5.6).
func (a Attributes) Check(name string) error {
	if name == "" || len(name) > 128 || strings.ContainsFunc(name, notToken) {
		return fmt.Errorf("%q is not a cookie name: use letters, digits, '-' and '_'", name)
	}
	lower := strings.ToLower(name)
	switch {
	case strings.HasPrefix(lower, "__host-") && (a.Insecure || a.Domain != ""):
		return fmt.Errorf("browsers refuse %q without Secure or with a Domain", name)
	case strings.HasPrefix(lower, "__secure-") && a.Insecure:
		return fmt.Errorf("browsers refuse %q without Secure", name)
	case (a.SameSite == "None" || a.Partitioned) && a.Insecure:
		return fmt.Errorf("browsers refuse SameSite=None and Partitioned without Secure")
	}
	return nil
}

// notToken reports whether r may not stand in a token (RFC 9110, 5.6.2).
func notToken(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
}

// AppendSet appends a Set-Cookie line to dst. A maxAge of 0 writes neither
// Max-Age nor Expires, so that the cookie ends with the browser.
func (a Attributes) AppendSet(dst []byte, name string, value []byte, maxAge time.Duration) []byte {
	dst = append(dst, name...)
	dst = append(dst, '=')
	dst = append(dst, value...)
	if maxAge > 0 {
		seconds := int64((maxAge + time.Second - 1) / time.Second) // rounded up: the server decides
		dst = append(dst, "; Max-Age="...)
		dst = strconv.AppendInt(dst, seconds, 10)
	}
	return a.appendTo(dst)
}

// Expire returns the Set-Cookie line that removes the cookie: with the same
// attributes, without which browsers would keep it.
func (a Attributes) Expire(name string) string {
	dst := append([]byte(name), "=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"...)
	return string(a.appendTo(dst))
}

// String returns what follows name and value in a Set-Cookie line without
// Max-Age.
func (a Attributes) String() string {
	return strings.TrimPrefix(string(a.appendTo(nil)), "; ")
}

func (a Attributes) appendTo(dst []byte) []byte {
	dst = append(dst, "; Path=/"...)
	if a.Domain != "" {
		dst = append(append(dst, "; Domain="...), a.Domain...)
	}
	if !a.Insecure {
		dst = append(dst, "; Secure"...)
	}
	dst = append(dst, "; HttpOnly; SameSite="...)
	dst = append(dst, a.SameSite...)
	if a.Partitioned {
		dst = append(dst, "; Partitioned"...)
	}
	return dst
}
