package cookie_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/internal/cookie"
)

func set(a cookie.Attributes, name, value string, maxAge time.Duration) string {
	return string(a.AppendSet(nil, name, []byte(value), maxAge))
}

func TestLinesSayEveryAttribute(t *testing.T) {
	lax := cookie.Attributes{SameSite: "Lax"}
	for _, c := range []struct{ name, got, want string }{
		{"session", set(lax, "__Host-id", "v", 0), "__Host-id=v; Path=/; Secure; HttpOnly; SameSite=Lax"},
		{"max age", set(lax, "__Host-id", "v", 90*time.Second), "__Host-id=v; Max-Age=90; Path=/; Secure; HttpOnly; SameSite=Lax"},
		{"less than a second", set(lax, "__Host-id", "v", time.Millisecond), "__Host-id=v; Max-Age=1; Path=/; Secure; HttpOnly; SameSite=Lax"},
		{"nearly two seconds", set(lax, "__Host-id", "v", 2*time.Second-time.Microsecond), "__Host-id=v; Max-Age=2; Path=/; Secure; HttpOnly; SameSite=Lax"},
		{"expired", lax.Expire("__Host-id"), "__Host-id=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Secure; HttpOnly; SameSite=Lax"},
		{"domain", set(cookie.Attributes{SameSite: "Lax", Domain: "example.com"}, "__Secure-id", "v", 0), "__Secure-id=v; Path=/; Domain=example.com; Secure; HttpOnly; SameSite=Lax"},
		{"insecure", set(cookie.Attributes{SameSite: "Strict", Insecure: true}, "id", "v", 0), "id=v; Path=/; HttpOnly; SameSite=Strict"},
		{"partitioned", set(cookie.Attributes{SameSite: "None", Partitioned: true}, "__Host-id", "v", 0), "__Host-id=v; Path=/; Secure; HttpOnly; SameSite=None; Partitioned"},
	} {
		if c.got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.name, c.got, c.want)
		}
	}
}

func TestExpiringRepeatsTheAttributes(t *testing.T) {
	for _, a := range []cookie.Attributes{
		{SameSite: "Lax"}, {SameSite: "Strict", Domain: "example.com"},
		{SameSite: "Lax", Insecure: true}, {SameSite: "None", Partitioned: true},
	} {
		_, after, _ := strings.Cut(a.Expire("n"), "GMT")
		_, attributes, _ := strings.Cut(set(a, "n", "v", 0), "n=v")
		if after != attributes {
			t.Errorf("set with %q, expired with %q", attributes, after)
		}
	}
}

func TestWhatBrowsersRefuseIsRefused(t *testing.T) {
	lax := cookie.Attributes{SameSite: "Lax"}
	for _, c := range []struct {
		name       string
		cookie     string
		attributes cookie.Attributes
		good       bool
	}{
		{"host", "__Host-id", lax, true},
		{"host with Domain", "__Host-id", cookie.Attributes{SameSite: "Lax", Domain: "example.com"}, false},
		{"host without Secure", "__Host-id", cookie.Attributes{SameSite: "Lax", Insecure: true}, false},
		{"host in another case", "__hOST-id", cookie.Attributes{SameSite: "Lax", Insecure: true}, false},
		{"secure with Domain", "__Secure-id", cookie.Attributes{SameSite: "Lax", Domain: "example.com"}, true},
		{"secure without Secure", "__SECURE-id", cookie.Attributes{SameSite: "Lax", Insecure: true}, false},
		{"plain without Secure", "id", cookie.Attributes{SameSite: "Lax", Insecure: true}, true},
		{"None without Secure", "id", cookie.Attributes{SameSite: "None", Insecure: true}, false},
		{"Partitioned without Secure", "id", cookie.Attributes{SameSite: "Lax", Partitioned: true, Insecure: true}, false},
		{"no name", "", lax, false},
		{"a space", "a b", lax, false},
		{"a line end", "a\r\nSet-Cookie: b", lax, false},
		{"an equals sign", "a=b", lax, false},
		{"a semicolon", "a;b", lax, false},
		{"not ASCII", "é", lax, false},
		{"too long", strings.Repeat("a", 129), lax, false},
	} {
		if err := c.attributes.Check(c.cookie); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// FuzzSet: whatever passes Check is one line, which the ordinary parser reads
// as it was meant.
func FuzzSet(f *testing.F) {
	f.Add("__Host-id", "", uint8(0), int64(0))
	f.Add("__Secure-id", "example.com", uint8(1), int64(90))
	f.Add("id", "", uint8(6), int64(1))
	f.Fuzz(func(t *testing.T, name, domain string, choice uint8, seconds int64) {
		a := cookie.Attributes{
			SameSite: []string{"Lax", "Strict", "None"}[choice%3], Insecure: choice&4 != 0, Partitioned: choice&8 != 0,
		}
		if domain == "example.com" {
			a.Domain = domain
		}
		if a.Check(name) != nil || seconds < 0 || seconds > 400*24*3600 {
			return
		}
		const value = "oKGio6SlpqeoqaqrrK2urwABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
		for _, line := range []string{set(a, name, value, time.Duration(seconds)*time.Second), a.Expire(name)} {
			c, err := http.ParseSetCookie(line)
			if err != nil || strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("%q: %v", line, err)
			}
			expired := c.MaxAge < 0
			switch {
			case c.Name != name, c.Path != "/", c.Domain != a.Domain, !c.HttpOnly, c.Secure == a.Insecure,
				c.Partitioned != a.Partitioned, len(c.Unparsed) > 0, c.SameSite == http.SameSiteDefaultMode,
				!expired && (c.Value != value || c.MaxAge != int(seconds)), expired && c.Value != "":
				t.Fatalf("%q is read as %+v", line, c)
			}
		}
	})
}
