// Package storetest is the conformance kit for stores: a store that passes
// [Run] keeps the contract of package store.
//
//	func TestContract(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) (a, b store.Store) {
//			s := memstore.New(nil)
//			return s, s
//		})
//	}
//
// Every case stands for one statement of the contract and prints it when it is
// broken. There is nothing to configure and nothing to skip: cases for optional
// abilities run for stores that have them. The kit passes times of its own, far
// from those of the machine's clock, so a store that looks at a clock fails.
//
// For tests of whatever uses a store there are [Faulty], which makes a store
// fail, hang or leave the outcome unknown on demand, and [Opaque], which hides
// that a store keeps its records in this process.
package storetest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/coatcheck/coatcheck/store"
)

// reporter is what a case uses of a *testing.T.
type reporter interface {
	Helper()
	Context() context.Context
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Run tests a store against every statement of the contract, each in a subtest
// of its own. open returns two handles on one store that is empty, as two
// machines would hold them, or the same handle twice where a store can have
// only one. It is called once per case, and closes what it opened by t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) (a, b store.Store)) {
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			a, b := open(t)
			c.try(t, a, b, 30*time.Second)
		})
	}
}

// testCase is one statement of the contract.
type testCase struct {
	name     string
	sentence string // as package store has it, word for word
	run      func(*trial)
}

// cases returns the whole kit.
func cases() []testCase {
	return slices.Concat(
		loadCases, byteCases, createCases, updateCases, touchCases, deleteCases,
		listCases, subjectCases, markCases, limitCases, allCases, sweepCases,
		raceCases, subjectRaceCases, handleCases, contextCases, watchCases,
	)
}

// try runs the case against two handles on one empty store.
func (c testCase) try(t reporter, a, b store.Store, patience time.Duration) {
	c.run(&trial{reporter: t, sentence: c.sentence, a: a, b: b, patience: patience})
}

// trial is one run of one case: two handles on one store, and the means to
// judge what they do.
type trial struct {
	reporter
	sentence string
	a, b     store.Store
	patience time.Duration // how long what should happen may take
}

// Errorf reports what was seen, and the statement that it breaks.
func (k *trial) Errorf(format string, args ...any) {
	k.Helper()
	k.reporter.Errorf("%s\n\tthe contract: %s", fmt.Sprintf(format, args...), k.sentence)
}

// Fatalf is Errorf for what leaves the case without sense.
func (k *trial) Fatalf(format string, args ...any) {
	k.Helper()
	k.reporter.Fatalf("%s\n\tthe contract: %s", fmt.Sprintf(format, args...), k.sentence)
}
