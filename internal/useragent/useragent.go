// Package useragent says in a few words what a User-Agent header is: "Firefox
// on Linux". It helps a user to know their own devices in a list and proves
// nothing, because every client says of itself what it likes.
package useragent

import "strings"

// known pairs a mark in a User-Agent with a name. The first that is there
// counts: browsers carry the marks of those that they want to pass for.
type known struct{ mark, name string }

var browsers = [...]known{
	{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"},
	{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"},
	{"Chromium/", "Chromium"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	{"curl/", "curl"}, {"Go-http-client/", "a Go program"},
}

var systems = [...]known{
	{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iPhone"},
	{"iPad", "iPad"}, {"CrOS", "ChromeOS"}, {"Mac OS X", "macOS"},
	{"Linux", "Linux"},
}

// labels has the label for each browser with each system, the last of both
// being one that is not known.
var labels = func() (all [len(browsers) + 1][len(systems) + 1][]byte) {
	for i := range all {
		for j := range all[i] {
			switch {
			case i < len(browsers) && j < len(systems):
				all[i][j] = []byte(browsers[i].name + " on " + systems[j].name)
			case i < len(browsers):
				all[i][j] = []byte(browsers[i].name)
			case j < len(systems):
				all[i][j] = []byte(systems[j].name)
			default:
				all[i][j] = []byte("Unknown device")
			}
		}
	}
	return all
}()

// mark is a mark of a browser, or of a system, and its place among those.
type mark struct {
	second byte // of the text
	system bool
	place  int
	text   string
}

// marksBy are the marks by the byte that they begin with: few bytes have any, so
// one pass over a User-Agent finds all.
var marksBy = func() (by [256][]mark) {
	add := func(text string, system bool, place int) {
		by[text[0]] = append(by[text[0]], mark{text[1], system, place, text})
	}
	for i, k := range browsers {
		add(k.mark, false, i)
	}
	for i, k := range systems {
		add(k.mark, true, i)
	}
	return by
}()

// begins says of each byte whether a mark begins with it.
var begins = func() (does [256]bool) {
	for first := range marksBy {
		does[first] = len(marksBy[first]) > 0
	}
	return does
}()

// Describe returns browser and system as a User-Agent names them, for people to
// read. It does not allocate, and the bytes are not to be changed.
func Describe(userAgent string) []byte {
	browser, system := len(browsers), len(systems)
	for at := 0; at < len(userAgent)-1; at++ {
		if !begins[userAgent[at]] {
			continue
		}
		marks := marksBy[userAgent[at]]
		for i := range marks {
			m := &marks[i]
			switch {
			case m.second != userAgent[at+1] || !strings.HasPrefix(userAgent[at:], m.text):
			case m.system:
				system = min(system, m.place)
			default:
				browser = min(browser, m.place)
			}
		}
	}
	return labels[browser][system]
}
