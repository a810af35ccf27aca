package coatcheck_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck"
	"github.com/coatcheck/coatcheck/coatchecktest"
)

// Types with another name than those that have a short form.
type (
	nickname string
	points   int
	pair     struct {
		Left  string `json:"left"`
		Right int    `json:"right,omitempty"`
	}
	// shout writes itself in its own way.
	shout string
)

func (s shout) MarshalJSON() ([]byte, error) { return json.Marshal(strings.ToUpper(string(s))) }

// inSession runs f with the session of a new visitor, and again with what the
// store gives back.
func inSession(t *testing.T, f func(s *coatcheck.Session, again bool)) {
	t.Helper()
	v := coatchecktest.New(t, coatcheck.Config{Logger: silent}, page(look)).Visitor()
	for _, again := range []bool{false, true} {
		v.Session(func(s *coatcheck.Session) error {
			f(s, again)
			return nil
		})
	}
}

// roundTrip sets and gets a value, before it is stored and after.
func roundTrip[T any](t *testing.T, values ...T) {
	t.Helper()
	for _, value := range values {
		key := coatcheck.NewKey[T]("value")
		inSession(t, func(s *coatcheck.Session, again bool) {
			if !again {
				if _, found := key.Get(s); found {
					t.Errorf("%T is found before it is set", value)
				}
				if err := key.Set(s, value); err != nil {
					t.Errorf("%T %v: %v", value, value, err)
				}
			}
			if got, found := key.Get(s); !found || !reflect.DeepEqual(got, value) {
				t.Errorf("%T %#v comes back as %#v, %t", value, value, got, found)
			}
		})
	}
}

func TestKeyKeepsValuesOfEveryKind(t *testing.T) {
	roundTrip(t, "", "hello", "\x00é\xff\n", strings.Repeat("x", 60_000))
	roundTrip(t, []byte{}, []byte{0, 1, 255})
	roundTrip(t, false, true)
	roundTrip(t, 0, -1, math.MaxInt, math.MinInt)
	roundTrip[int8](t, math.MinInt8, math.MaxInt8)
	roundTrip[int16](t, math.MinInt16, math.MaxInt16)
	roundTrip[int32](t, math.MinInt32, math.MaxInt32)
	roundTrip[int64](t, math.MinInt64, math.MaxInt64)
	roundTrip[uint](t, 0, math.MaxUint)
	roundTrip[uint8](t, 0, math.MaxUint8)
	roundTrip[uint16](t, 0, math.MaxUint16)
	roundTrip[uint32](t, 0, math.MaxUint32)
	roundTrip[uint64](t, 0, math.MaxUint64)
	roundTrip(t, 0.0, -1.5, math.MaxFloat64)
	roundTrip(t, time.Time{}, time.Date(2030, 1, 2, 3, 4, 5, 678, time.UTC))
	roundTrip(t, time.Duration(0), time.Hour)
	roundTrip(t, []string{}, []string{"a", ""}, nil)
	roundTrip(t, map[string][]int{"a": {1, 2}, "": nil})
	roundTrip(t, pair{}, pair{"a", 1})
	roundTrip(t, &pair{"a", 1}, nil)
	roundTrip[any](t, nil, "a", 1.5, map[string]any{"a": []any{true}})
	roundTrip(t, nickname("al"), "")
	roundTrip(t, points(7), -7)
	roundTrip(t, netip.MustParseAddr("192.0.2.1"))
}

// stored sets a value under a key of one type and gets it with a key of
// another type and the same name.
func stored[From, To any](value From) func(t *testing.T) (got any, found bool, err error) {
	return func(t *testing.T) (got any, found bool, err error) {
		from, to := coatcheck.NewKey[From]("value"), coatcheck.NewKey[To]("value")
		inSession(t, func(s *coatcheck.Session, again bool) {
			if !again {
				if err := from.Set(s, value); err != nil {
					t.Error(err)
				}
				return
			}
			got, found = to.Get(s)
			err = to.Update(s, func(v To) (To, error) { return v, errLeaveIt })
		})
		return got, found, err
	}
}

var errLeaveIt = errors.New("leave it as it is")

// TestKeyReadsWhatAnotherTypeWrote, as far as JSON allows: a program may change
// its mind about a type. What does not fit counts as none for Get, is an error
// for Update and stays as it is.
func TestKeyReadsWhatAnotherTypeWrote(t *testing.T) {
	noon := time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		run  func(t *testing.T) (any, bool, error)
		want any // nil: it does not fit
	}{
		"string as a named string":      {stored[string, nickname]("al"), nickname("al")},
		"named string as a string":      {stored[nickname, string]("al"), "al"},
		"string that marshals itself":   {stored[shout, string]("al"), "AL"},
		"string as any":                 {stored[string, any]("al"), "al"},
		"bytes as a string":             {stored[[]byte, string]([]byte("al")), "YWw="},
		"string as bytes":               {stored[string, []byte]("YWw="), []byte("al")},
		"bytes as a list of numbers":    {stored[[]byte, []int]([]byte("al")), nil},
		"int as int64":                  {stored[int, int64](-5), int64(-5)},
		"int64 as int8, in range":       {stored[int64, int8](-128), int8(-128)},
		"int64 as int8, out of range":   {stored[int64, int8](-129), nil},
		"int as uint, in range":         {stored[int, uint](5), uint(5)},
		"int as uint, negative":         {stored[int, uint](-5), nil},
		"uint as int, in range":         {stored[uint, int](5), 5},
		"uint64 as int64, out of range": {stored[uint64, int64](math.MaxUint64), nil},
		"uint8 as uint16":               {stored[uint8, uint16](200), uint16(200)},
		"uint16 as uint8, out of range": {stored[uint16, uint8](256), nil},
		"int as a named int":            {stored[int, points](5), points(5)},
		"named int as an int":           {stored[points, int](5), 5},
		"int as a float":                {stored[int, float64](5), 5.0},
		"float as an int":               {stored[float64, int](5), 5},
		"float as an int, with a point": {stored[float64, int](5.5), nil},
		"int as a duration":             {stored[int, time.Duration](5), time.Duration(5)},
		"int as a string":               {stored[int, string](5), nil},
		"string as an int":              {stored[string, int]("5"), nil},
		"bool as any":                   {stored[bool, any](true), true},
		"any as a bool":                 {stored[any, bool](true), true},
		"bool as an int":                {stored[bool, int](true), nil},
		"time as a string":              {stored[time.Time, string](noon), "2030-01-02T12:00:00Z"},
		"string as a time":              {stored[string, time.Time]("2030-01-02T12:00:00Z"), noon},
		"string that is no time":        {stored[string, time.Time]("noon"), nil},
		"struct with a field less":      {stored[pair, struct{ Left string }](pair{"a", 1}), struct{ Left string }{"a"}},
		"struct with a field more":      {stored[struct{ Left string }, pair](struct{ Left string }{"a"}), pair{Left: "a"}},
		"struct as a list":              {stored[pair, []string](pair{"a", 1}), nil},
		"nothing as a string":           {stored[*pair, string](nil), ""},
		"string as what another reads":  {stored[string, json.RawMessage]("al"), json.RawMessage(`"al"`)},
		"address as a string":           {stored[netip.Addr, string](netip.MustParseAddr("::1")), "::1"},
		"string that is no address":     {stored[string, netip.Addr]("home"), nil},
	} {
		got, found, err := c.run(t)
		var decode *coatcheck.DecodeError
		switch {
		case c.want == nil && (found || !errors.As(err, &decode) || decode.Key != "value" || errors.Unwrap(decode) == nil):
			t.Errorf("%s: %v, %t; Update: %v, want a *DecodeError", name, got, found, err)
		case c.want != nil && (!found || !reflect.DeepEqual(got, c.want) || !errors.Is(err, errLeaveIt)):
			t.Errorf("%s: %#v, %t, want %#v; Update: %v", name, got, found, c.want, err)
		}
	}
}

// TestKeyWhatDoesNotFitIsLeftAlone (F-85) by all but Set and Delete, and raises
// an event that names the key.
func TestKeyWhatDoesNotFitIsLeftAlone(t *testing.T) {
	text, number := coatcheck.NewKey[string]("value"), coatcheck.NewKey[int]("value")
	for name, c := range map[string]struct {
		act   func(s *coatcheck.Session) error
		fails bool
		left  string // "": gone
	}{
		"Get": {func(s *coatcheck.Session) error { number.Get(s); return nil }, false, "hello"},
		"Update": {func(s *coatcheck.Session) error {
			return number.Update(s, func(int) (int, error) { t.Error("Update has run its function"); return 1, nil })
		}, true, "hello"},
		"Pop":           {func(s *coatcheck.Session) error { _, _, err := number.Pop(s); return err }, true, "hello"},
		"another write": {func(s *coatcheck.Session) error { return countKey.Set(s, 1) }, false, "hello"},
		"sign-in":       {func(s *coatcheck.Session) error { return s.SignIn(ctx, "alice") }, false, "hello"},
		"Set":           {func(s *coatcheck.Session) error { return number.Set(s, 7) }, false, ""},
		"Delete":        {number.Delete, false, ""},
	} {
		site := coatchecktest.New(t, coatcheck.Config{Logger: silent}, page(look))
		v := site.Visitor()
		coatchecktest.Put(v, text, "hello")
		v.Session(func(s *coatcheck.Session) error {
			err := c.act(s)
			var decode *coatcheck.DecodeError
			if errors.As(err, &decode) != c.fails {
				t.Errorf("%s: %v", name, err)
			}
			return nil
		})
		if got, _ := coatchecktest.Value(v, text); got != c.left {
			t.Errorf("after %s the value is %q, want %q", name, got, c.left)
		}
		for _, e := range site.Events(coatcheck.KindUndecodable) {
			if !strings.Contains(e.Detail, `"value"`) || strings.Contains(e.Detail, "hello") {
				t.Errorf("%s: the event says %q", name, e.Detail)
			}
		}
		if raised := len(site.Events(coatcheck.KindUndecodable)); name == "Get" && raised != 1 {
			t.Errorf("Get raises %d events", raised)
		}
	}
}

// TestKeyNothingIsSharedWithTheSession: what a program does with a value before
// or after reaches it by Set alone.
func TestKeyNothingIsSharedWithTheSession(t *testing.T) {
	bytesKey, listed := coatcheck.NewKey[[]byte]("bytes"), coatcheck.NewKey[[]string]("list")
	inSession(t, func(s *coatcheck.Session, again bool) {
		raw, list := []byte("abc"), []string{"abc"}
		if !again {
			if err := errors.Join(bytesKey.Set(s, raw), listed.Set(s, list)); err != nil {
				t.Error(err)
			}
			raw[0], list[0] = 'x', "x"
		}
		for range 2 {
			raw, _ = bytesKey.Get(s)
			list, _ = listed.Get(s)
			if string(raw) != "abc" || list[0] != "abc" {
				t.Errorf("the session holds %q and %q", raw, list)
			}
			raw[0], list[0] = 'x', "x"
		}
		err := bytesKey.Update(s, func(b []byte) ([]byte, error) { b[0] = 'y'; return nil, errLeaveIt })
		if raw, _ = bytesKey.Get(s); !errors.Is(err, errLeaveIt) || string(raw) != "abc" {
			t.Errorf("an Update that failed (%v) has left %q", err, raw)
		}
	})
}

// TestKeySetHasEncodedWhenItReturns, also for the commit that does it again on
// newer data.
func TestKeySetHasEncodedWhenItReturns(t *testing.T) {
	bytesKey := coatcheck.NewKey[[]byte]("bytes")
	v := coatchecktest.New(t, coatcheck.Config{}, page(look)).SignedIn("alice")
	v.Session(func(s *coatcheck.Session) error {
		raw := []byte("abc")
		err := bytesKey.Set(s, raw)
		raw[0] = 'x'
		coatchecktest.Put(v, textKey, "of another request")
		return err
	})
	if raw, _ := coatchecktest.Value(v, bytesKey); string(raw) != "abc" {
		t.Errorf("stored is %q", raw)
	}
}

func TestKeyDeletePopAndKeys(t *testing.T) {
	one, two := coatcheck.NewKey[string]("one"), coatcheck.NewKey[string]("two")
	if one.Name() != "one" {
		t.Errorf("Name: %q", one.Name())
	}
	inSession(t, func(s *coatcheck.Session, again bool) {
		if again {
			if text, found, err := two.Pop(s); found || err != nil {
				t.Errorf("popped again: %q, %v", text, err)
			}
			return
		}
		err := errors.Join(two.Set(s, "2"), one.Set(s, "1"))
		if keys := fmt.Sprint(s.Keys()); err != nil || keys != "[one two]" {
			t.Errorf("Keys: %s, %v", keys, err)
		}
		if text, found, err := two.Pop(s); !found || text != "2" || err != nil {
			t.Errorf("popped: %q, %t, %v", text, found, err)
		}
		if err := errors.Join(one.Delete(s), one.Delete(s)); err != nil || len(s.Keys()) > 0 {
			t.Errorf("after Delete: %v, %q", err, s.Keys())
		}
	})
}

func TestKeyWhatCannotBeWrittenIsAnError(t *testing.T) {
	channel, number := coatcheck.NewKey[chan int]("channel"), coatcheck.NewKey[float64]("number")
	site := coatchecktest.New(t, coatcheck.Config{}, page(look))
	v := site.Visitor()
	v.Session(func(s *coatcheck.Session) error {
		for _, err := range []error{channel.Set(s, nil), number.Set(s, math.NaN()),
			number.Update(s, func(float64) (float64, error) { return math.Inf(1), nil })} {
			if err == nil || !strings.Contains(err.Error(), "cannot be encoded") {
				t.Errorf("%v", err)
			}
		}
		return nil
	})
	if len(v.Cookies()) > 0 {
		t.Error("a session was started for nothing")
	}
}

func TestNewKeyPanicsWithoutAGoodName(t *testing.T) {
	for name, good := range map[string]bool{"": false, "a": true, strings.Repeat("a", 255): true, strings.Repeat("a", 256): false} {
		func() {
			defer func() {
				if wrong := recover(); (wrong == nil) != good || wrong != nil && !strings.HasPrefix(fmt.Sprint(wrong), "coatcheck: NewKey: ") {
					t.Errorf("a name of %d bytes: %v", len(name), wrong)
				}
			}()
			coatcheck.NewKey[string](name)
		}()
	}
}

// TestKeyDeletingNothingStartsNothing: neither a session nor an error where
// none could start.
func TestKeyDeletingNothingStartsNothing(t *testing.T) {
	st, calls := counted()
	site := coatchecktest.New(t, coatcheck.Config{Store: st}, page(func(_ http.ResponseWriter, _ *http.Request, s *coatcheck.Session) error {
		_, _, err := textKey.Pop(s)
		return errors.Join(textKey.Delete(s), err)
	}))
	if res := site.Visitor().Get("/"); res.Status != http.StatusOK || len(res.Header["Set-Cookie"]) > 0 || writes(calls) > 0 {
		t.Errorf("%d, %q, %d writes", res.Status, res.Header["Set-Cookie"], writes(calls))
	}
}
