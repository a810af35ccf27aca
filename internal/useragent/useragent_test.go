package useragent

import (
	"strings"
	"testing"
)

func TestDescribe(t *testing.T) {
	for _, c := range []struct{ userAgent, want string }{
		{"", "Unknown device"},
		{"E", "Unknown device"},
		{"Mozilla/5.0", "Unknown device"},
		{"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", "Chrome on Windows"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0", "Edge on Windows"},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15", "Safari on macOS"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/137.0 Mobile/15E148 Safari/604.1", "Chrome on iPhone"},
		{"Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36", "Samsung Internet on Android"},
		{"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36", "Chrome on ChromeOS"},
		{"curl/8.14.1", "curl"},
		{"Go-http-client/1.1", "a Go program"},
		{"Windows", "Windows"},
		{"Firefox/", "Firefox"},
	} {
		if got := string(Describe(c.userAgent)); got != c.want {
			t.Errorf("%q is %q, want %q", c.userAgent, got, c.want)
		}
	}
}

// FuzzDescribe compares with a slow search that is written as the rule reads.
func FuzzDescribe(f *testing.F) {
	f.Add("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	f.Add("EdgEdEdg OPR/FxiOS/CriOS/CrOS iPadiPhone Mac OS X")
	f.Fuzz(func(t *testing.T, userAgent string) {
		if got, want := string(Describe(userAgent)), slowly(userAgent); got != want {
			t.Fatalf("%q is %q, want %q", userAgent, got, want)
		}
	})
}

func slowly(userAgent string) string {
	first := func(list []known) string {
		for _, k := range list {
			if strings.Contains(userAgent, k.mark) {
				return k.name
			}
		}
		return ""
	}
	browser, system := first(browsers[:]), first(systems[:])
	switch {
	case browser != "" && system != "":
		return browser + " on " + system
	case browser+system != "":
		return browser + system
	}
	return "Unknown device"
}

func TestDescribeAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Describe("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDescribe(b *testing.B) {
	for b.Loop() {
		Describe("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	}
}
