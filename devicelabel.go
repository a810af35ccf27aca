package coatcheck

import (
	"net/http"
	"strings"
	"unicode"

	"github.com/coatcheck/coatcheck/internal/head"
)

// deviceLabel is what lists call the device: the label that was given, or
// browser and system as the User-Agent names them. It is a help to the user's
// memory and proves nothing.
func (m *Manager) deviceLabel(r *http.Request, label string) string {
	if label == "" {
		return describe(r.Header.Get("User-Agent"))
	}
	label = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(label, ""))
	for len(label) > head.MaxDevice {
		runes := []rune(label)
		label = string(runes[:len(runes)-1])
	}
	return label
}

// known pairs a mark in a User-Agent with a name. The first that is there
// counts: browsers carry the marks of those that they want to pass for.
type known struct{ mark, name string }

var browsers = []known{
	{"Edg", "Edge"}, {"OPR/", "Opera"}, {"SamsungBrowser/", "Samsung Internet"},
	{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"},
	{"Chromium/", "Chromium"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	{"curl/", "curl"}, {"Go-http-client/", "a Go program"},
}

var systems = []known{
	{"Windows", "Windows"}, {"Android", "Android"}, {"iPhone", "iPhone"},
	{"iPad", "iPad"}, {"CrOS", "ChromeOS"}, {"Mac OS X", "macOS"},
	{"Linux", "Linux"},
}

func describe(userAgent string) string {
	browser, system := find(browsers, userAgent), find(systems, userAgent)
	switch {
	case browser != "" && system != "":
		return browser + " on " + system
	case browser+system != "":
		return browser + system
	}
	return "Unknown device"
}

func find(list []known, in string) string {
	for _, k := range list {
		if strings.Contains(in, k.mark) {
			return k.name
		}
	}
	return ""
}
