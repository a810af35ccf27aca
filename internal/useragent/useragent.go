// Package useragent says in a few words what a User-Agent header is: "Firefox
// on Linux". It helps a user to know their own devices in a list and proves
// nothing, because every client says of itself what it likes.
package useragent

import (
	"cmp"
	"slices"
	"strings"
)

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
	text   string
	system bool
	place  int
}

// marks are all marks, and marksBy where among them those begin that begin with
// a byte, plus one: 0 for the many bytes that no mark begins with. So one pass
// over a User-Agent finds all.
var marks, marksBy = func() (all []mark, by [256]uint8) {
	for i, k := range browsers {
		all = append(all, mark{k.mark, false, i})
	}
	for i, k := range systems {
		all = append(all, mark{k.mark, true, i})
	}
	slices.SortStableFunc(all, func(a, b mark) int { return cmp.Compare(a.text[0], b.text[0]) })
	for i := len(all) - 1; i >= 0; i-- {
		by[all[i].text[0]] = uint8(i + 1)
	}
	return all, by
}()

// Describe returns browser and system as a User-Agent names them, for people to
// read. It does not allocate, and the bytes are not to be changed.
func Describe(userAgent string) []byte {
	browser, system := len(browsers), len(systems)
	for at := 0; at < len(userAgent)-1; at++ {
		first := marksBy[userAgent[at]]
		if first == 0 {
			continue
		}
		for _, m := range marks[first-1:] {
			if m.text[0] != userAgent[at] {
				break
			}
			switch {
			case m.text[1] != userAgent[at+1] || !strings.HasPrefix(userAgent[at:], m.text):
			case m.system:
				system = min(system, m.place)
			default:
				browser = min(browser, m.place)
			}
		}
	}
	return labels[browser][system]
}
