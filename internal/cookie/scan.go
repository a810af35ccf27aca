// Package cookie reads session cookies from requests and writes them to
// responses, without the leniency of the ordinary parsers: a name is matched
// to the letter, case included, a value is taken as it stands, and what is
// there twice is reported instead of being chosen from.
package cookie

import "strings"

// MaxPairs bounds how many pairs a request's Cookie headers may hold. Browsers
// keep at most about 180 for a domain.
const MaxPairs = 512

// Found is what a request brought of one name.
type Found struct {
	Value string // of the first, as it stands; lent from the header
	Count int
}

// Scan looks for the names among the pairs of all Cookie headers and stores
// what it found at the same places of found, which must be as long. It returns
// how many pairs there are, and stops counting past MaxPairs. It does not
// allocate.
//
// Pairs are separated by semicolons with spaces or tabs around them. Nothing
// else is trimmed, unquoted or decoded, so "name =v" and "=name=v" hold no
// pair of that name.
func Scan(headers []string, names []string, found []Found) (pairs int) {
	for _, h := range headers {
		for h != "" {
			var pair string
			if i := strings.IndexByte(h, ';'); i >= 0 {
				pair, h = h[:i], h[i+1:]
			} else {
				pair, h = h, ""
			}
			pair = trim(pair)
			if pair == "" {
				continue
			}
			if pairs++; pairs > MaxPairs {
				return pairs
			}
			for i, name := range names {
				if len(pair) > len(name) && pair[len(name)] == '=' && pair[:len(name)] == name {
					if found[i].Count++; found[i].Count == 1 {
						found[i].Value = pair[len(name)+1:]
					}
				}
			}
		}
	}
	return pairs
}

// trim removes the white space of RFC 9110, 5.6.3, and no other.
func trim(s string) string {
	for s != "" && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}
