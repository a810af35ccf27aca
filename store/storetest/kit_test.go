package storetest

// These tests are inside the package because they run single cases, against
// stores that break them, with a reporter that does not fail.

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
)

// recorder is a reporter that keeps what is reported.
type recorder struct {
	ctx      context.Context
	mu       sync.Mutex
	failures []string
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }

func (r *recorder) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// failures runs a case and returns what it reported.
func failures(t *testing.T, c testCase, a, b store.Store) []string {
	r := &recorder{ctx: t.Context()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.try(r, a, b, 100*time.Millisecond)
	}()
	<-done
	return r.failures
}

func TestEveryCaseFailsForAStoreThatBreaksIt(t *testing.T) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			broken, found := brokenStores[c.name]
			if !found {
				t.Fatal("no broken store proves that this case can fail")
			}
			a, b := broken()
			failed := failures(t, c, a, b)
			if len(failed) == 0 {
				t.Fatal("a store that breaks the contract passed")
			}
			if !strings.Contains(failed[0], c.sentence) {
				t.Errorf("the report does not print the sentence that is broken: %s", failed[0])
			}
		})
	}
}

func TestNoCaseFailsForASoundStore(t *testing.T) {
	for _, c := range cases() {
		// Through a wrapper, so that what the broken stores fail by is not that.
		s := &rigged{Store: memstore.New(nil)}
		for _, failure := range failures(t, c, s, s) {
			t.Errorf("%s: %s", c.name, failure)
		}
	}
}

func TestNamesAreUniqueAndEveryBrokenStoreHasItsCase(t *testing.T) {
	var names []string
	for _, c := range cases() {
		if slices.Contains(names, c.name) {
			t.Errorf("two cases are called %s", c.name)
		}
		names = append(names, c.name)
	}
	for name := range brokenStores {
		if !slices.Contains(names, name) {
			t.Errorf("a broken store is for a case %s, which there is not", name)
		}
	}
}

// contract returns every comment of package store as one line of text.
func contract(t *testing.T) string {
	file, err := parser.ParseFile(token.NewFileSet(), "../store.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	ast.Inspect(file, func(node ast.Node) bool {
		if group, ok := node.(*ast.CommentGroup); ok {
			text.WriteString(group.Text() + " ")
		}
		return true
	})
	return strings.Join(strings.Fields(text.String()), " ")
}

func TestEverySentenceIsOfTheContractWordForWord(t *testing.T) {
	text := contract(t)
	for _, c := range cases() {
		if c.sentence == "" || !strings.Contains(text, c.sentence) {
			t.Errorf("case %s cites what package store does not say: %q", c.name, c.sentence)
		}
	}
}

// methodSentences returns the sentences of the comments on methods of Store,
// Watcher, Settler and ExactMarks.
func methodSentences(t *testing.T) (sentences []string) {
	file, err := parser.ParseFile(token.NewFileSet(), "../store.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.TypeSpec)
		if !ok || !slices.Contains([]string{"Store", "Watcher", "Settler", "ExactMarks"}, spec.Name.Name) {
			return true
		}
		for _, method := range spec.Type.(*ast.InterfaceType).Methods.List {
			text := strings.Join(strings.Fields(method.Doc.Text()), " ")
			for sentence := range strings.SplitSeq(strings.TrimSuffix(text, "."), ". ") {
				sentences = append(sentences, sentence)
			}
		}
		return false
	})
	return sentences
}

// untestable are sentences that say nothing a test can see fail.
var untestable = []string{
	// Cases by the names of these errors cite what raises each.
	"ErrExists, ErrLimit, ErrSubjectEnded, ErrFull",
	"A full store may refuse a record that has grown with ErrFull",
	// Permissions of the store.
	"What a touch wrote may be lost when the process dies; a store says for how long",
	"It is a hint to look: calls may come for nothing, and may be lost where the package comment says so",
	// A duty of the caller.
	"changed must not block",
}

func TestEverySentenceOfAMethodHasACase(t *testing.T) {
	sentences := methodSentences(t)
	if len(sentences) < 20 {
		t.Fatalf("found only %d sentences in the contract", len(sentences))
	}
	for _, sentence := range sentences {
		cited := slices.ContainsFunc(cases(), func(c testCase) bool {
			short := strings.TrimSuffix(c.sentence, ".")
			return strings.Contains(sentence, short) || strings.Contains(c.sentence, sentence)
		})
		if !cited && !slices.Contains(untestable, sentence) {
			t.Errorf("no case cites %q", sentence)
		}
	}
}

// rigged is a store of which single methods are replaced. It says that its
// marks are exact, as those of the store within are.
type rigged struct {
	store.Store
	load          func(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error
	create        func(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error)
	update        func(ctx context.Context, rec store.Record, was uint64, now time.Time) error
	touch         func(ctx context.Context, id store.ID, now time.Time) error
	remove        func(ctx context.Context, ids ...store.ID) ([]store.ID, error)
	deleteSubject func(ctx context.Context, subject string, now time.Time, keep ...store.ID) ([]store.ID, error)
	deleteAll     func(ctx context.Context, now time.Time) (int, error)
	list          func(ctx context.Context, subject string, now time.Time) ([]store.Record, error)
	all           func(ctx context.Context) iter.Seq2[store.Record, error]
	sweep         func(ctx context.Context, now time.Time, limit int) (int, bool, error)
}

func (r *rigged) ExactMarks() bool { return true }

func (r *rigged) Load(ctx context.Context, id store.ID, rec *store.Record, read store.Freshness) error {
	if r.load != nil {
		return r.load(ctx, id, rec, read)
	}
	return r.Store.Load(ctx, id, rec, read)
}

func (r *rigged) Create(ctx context.Context, rec store.Record, terms store.Terms, now time.Time) ([]store.ID, error) {
	if r.create != nil {
		return r.create(ctx, rec, terms, now)
	}
	return r.Store.Create(ctx, rec, terms, now)
}

func (r *rigged) Update(ctx context.Context, rec store.Record, was uint64, now time.Time) error {
	if r.update != nil {
		return r.update(ctx, rec, was, now)
	}
	return r.Store.Update(ctx, rec, was, now)
}

func (r *rigged) Touch(ctx context.Context, id store.ID, now time.Time) error {
	if r.touch != nil {
		return r.touch(ctx, id, now)
	}
	return r.Store.Touch(ctx, id, now)
}

func (r *rigged) Delete(ctx context.Context, ids ...store.ID) ([]store.ID, error) {
	if r.remove != nil {
		return r.remove(ctx, ids...)
	}
	return r.Store.Delete(ctx, ids...)
}

func (r *rigged) DeleteSubject(ctx context.Context, subject string, now time.Time, keep ...store.ID) ([]store.ID, error) {
	if r.deleteSubject != nil {
		return r.deleteSubject(ctx, subject, now, keep...)
	}
	return r.Store.DeleteSubject(ctx, subject, now, keep...)
}

func (r *rigged) DeleteAll(ctx context.Context, now time.Time) (int, error) {
	if r.deleteAll != nil {
		return r.deleteAll(ctx, now)
	}
	return r.Store.DeleteAll(ctx, now)
}

func (r *rigged) List(ctx context.Context, subject string, now time.Time) ([]store.Record, error) {
	if r.list != nil {
		return r.list(ctx, subject, now)
	}
	return r.Store.List(ctx, subject, now)
}

func (r *rigged) All(ctx context.Context) iter.Seq2[store.Record, error] {
	if r.all != nil {
		return r.all(ctx)
	}
	return r.Store.All(ctx)
}

func (r *rigged) Sweep(ctx context.Context, now time.Time, limit int) (int, bool, error) {
	if r.sweep != nil {
		return r.sweep(ctx, now, limit)
	}
	return r.Store.Sweep(ctx, now, limit)
}
