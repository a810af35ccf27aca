package cookie_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/coatcheck/coatcheck/internal/cookie"
)

var names = []string{"__Host-id", "__Host-id-visit", "__Host-id-bound"}

func TestScanTakesExactlyWhatIsThere(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers []string
		pairs   int
		count   int    // of __Host-id
		value   string // of the first
	}{
		{"none", nil, 0, 0, ""},
		{"alone", []string{"__Host-id=v"}, 1, 1, "v"},
		{"among others", []string{"a=1; __Host-id=v; b=2"}, 3, 1, "v"},
		{"no space", []string{"a=1;__Host-id=v;b=2"}, 3, 1, "v"},
		{"spaces and tabs around", []string{" \t __Host-id=v\t "}, 1, 1, "v"},
		{"in crumbs of HTTP/2", []string{"a=1", "__Host-id=v", "b=2"}, 3, 1, "v"},
		{"empty pairs", []string{";; ;__Host-id=v;;"}, 1, 1, "v"},
		{"empty value", []string{"__Host-id="}, 1, 1, ""},
		{"value with an equals sign", []string{"__Host-id=a=b"}, 1, 1, "a=b"},
		{"twice", []string{"__Host-id=a; __Host-id=b"}, 2, 2, "a"},
		{"twice in two headers", []string{"__Host-id=a", "__Host-id=b"}, 2, 2, "a"},
		{"quotes stay", []string{`__Host-id="v"`}, 1, 1, `"v"`},
		{"percent stays", []string{"__Host-id=%76"}, 1, 1, "%76"},
		{"a comma separates nothing", []string{"__Host-id=a, __Host-id=b"}, 1, 1, "a, __Host-id=b"},
		{"another case", []string{"__host-id=v; __HOST-ID=v"}, 2, 0, ""},
		{"a longer name", []string{"__Host-id2=v; __Host-id-visit=v"}, 2, 0, ""},
		{"a name that ends with it", []string{"x__Host-id=v"}, 1, 0, ""},
		{"no equals sign", []string{"__Host-id"}, 1, 0, ""},
		{"a nameless cookie", []string{"=__Host-id=v"}, 1, 0, ""},
		{"a space before the equals sign", []string{"__Host-id =v"}, 1, 0, ""},
		{"a space after the equals sign", []string{"__Host-id= v"}, 1, 1, " v"},
		{"the old version syntax", []string{`$Version=1; __Host-id=v; $Path="/"`}, 3, 1, "v"},
		{"a space that is not ASCII", []string{"\u2000__Host-id=v; \u00a0__Host-id=v; \x85__Host-id=v"}, 3, 0, ""},
		{"a line end", []string{"\r\n__Host-id=v"}, 1, 0, ""},
	} {
		var found [3]cookie.Found
		if pairs := cookie.Scan(c.headers, names, found[:]); pairs != c.pairs || found[0] != (cookie.Found{Value: c.value, Count: c.count}) {
			t.Errorf("%s: %q: %d pairs, %+v; want %d pairs, %d of %q", c.name, c.headers, pairs, found[0], c.pairs, c.count, c.value)
		}
	}
}

func TestScanStopsAtTheBound(t *testing.T) {
	pair := "a=1; "
	for _, c := range []struct {
		name    string
		headers []string
		over    bool
	}{
		{"at the bound", []string{strings.Repeat(pair, cookie.MaxPairs)}, false},
		{"over it", []string{strings.Repeat(pair, cookie.MaxPairs+1)}, true},
		{"over it in headers", slices.Repeat([]string{"a=1"}, cookie.MaxPairs+1), true},
		{"a million", []string{strings.Repeat(pair, 1_000_000)}, true},
		{"empty pairs are none", []string{strings.Repeat("; ", 1_000_000)}, false},
	} {
		var found [3]cookie.Found
		if pairs := cookie.Scan(c.headers, names, found[:]); (pairs > cookie.MaxPairs) != c.over || pairs > cookie.MaxPairs+1 {
			t.Errorf("%s: %d pairs", c.name, pairs)
		}
	}
}

func TestScanAllocatesNothing(t *testing.T) {
	headers := []string{"a=1; __Host-id=v; b=2"}
	var found [3]cookie.Found
	if n := testing.AllocsPerRun(100, func() { cookie.Scan(headers, names, found[:]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzScan compares with a slow scan that is written as the rule reads.
func FuzzScan(f *testing.F) {
	f.Add("a=1; __Host-id=v", "__Host-id-visit=w;__Host-id=x")
	f.Fuzz(func(t *testing.T, first, second string) {
		headers := []string{first, second}
		var found [3]cookie.Found
		pairs := cookie.Scan(headers, names, found[:])
		wantPairs, want := slowScan(headers)
		if pairs != wantPairs || wantPairs <= cookie.MaxPairs && found != want {
			t.Fatalf("%q: %d pairs, %+v; want %d, %+v", headers, pairs, found, wantPairs, want)
		}
	})
}

func slowScan(headers []string) (pairs int, found [3]cookie.Found) {
	for _, header := range headers {
		for _, pair := range strings.Split(header, ";") {
			pair = strings.Trim(pair, " \t")
			if pair == "" {
				continue
			}
			pairs++
			name, value, ok := strings.Cut(pair, "=")
			if i := slices.Index(names, name); ok && i >= 0 {
				if found[i].Count++; found[i].Count == 1 {
					found[i].Value = value
				}
			}
		}
	}
	return min(pairs, cookie.MaxPairs+1), found
}
