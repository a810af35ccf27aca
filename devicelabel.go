package coatcheck

import (
	"net/http"
	"strings"
	"unicode"

	"github.com/coatcheck/coatcheck/internal/head"
	"github.com/coatcheck/coatcheck/internal/useragent"
)

// deviceLabel is what lists call the device: the label that was given, or
// browser and system as the User-Agent names them. It is a help to the user's
// memory and proves nothing. The bytes are not to be changed.
func deviceLabel(r *http.Request, label string) []byte {
	if label == "" {
		if agent := r.Header["User-Agent"]; len(agent) > 0 {
			return useragent.Describe(agent[0])
		}
		return useragent.Describe("")
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
	return []byte(label)
}
