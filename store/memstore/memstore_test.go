package memstore_test

import (
	"testing"

	"github.com/coatcheck/coatcheck/store"
	"github.com/coatcheck/coatcheck/store/memstore"
	"github.com/coatcheck/coatcheck/store/storetest"
)

func TestContract(t *testing.T) {
	storetest.Run(t, func(*testing.T) (a, b store.Store) {
		s := memstore.New(nil)
		return s, s
	})
}
