package demo

import (
	"strings"
	"unicode/utf8"
)

// field is one input of a form with what was typed and what is wrong with it.
type field struct {
	Name, Label, Hint string
	Type              string
	Autocomplete      string
	Most              int // characters
	Optional          bool
	Value, Problem    string
}

// check notes what is wrong with the value in general.
func (f *field) check() {
	f.Value = strings.TrimSpace(f.Value)
	switch {
	case f.Value == "" && !f.Optional:
		f.Problem = "Please fill this in."
	case utf8.RuneCountInString(f.Value) > f.Most || !utf8.ValidString(f.Value):
		f.Problem = "Please write less here."
	}
}

// sound reports whether nothing is wrong with any of the fields.
func sound(fields []field) bool {
	for _, f := range fields {
		if f.Problem != "" {
			return false
		}
	}
	return true
}
